//! How long the engine takes for what people do: `cargo bench --bench speed`.

#[path = "../support/pair.rs"]
mod pair;
mod scenes;

use criterion::{Criterion, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    for scene in scenes::SCENES {
        println!("{}: {}", scene.name, scene.what);
        let mut act = (scene.begin)();
        let mut group = criterion.benchmark_group("engine");
        group.sample_size(if scene.times < 10 { 10 } else { 100 });
        group.bench_function(scene.name, |bencher| bencher.iter(&mut act));
        group.finish();
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
