//! zstd over one direction of a link: what is packed before TLS, and unpacked behind it.
//!
//! A direction is plain until its sender says the line COMPRESS; from the next byte on it is one stream of frames.
//! Frames end only around lines that hold secrets: each begins with an empty window, so what stands in a frame of its
//! own is compressed by nothing that others have said.

use std::io;

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

const LEVEL: i32 = 3;
/// What both ends keep of what was said before, to say it shorter again: 1 MiB.
const WINDOW_LOG: u32 = 20;
/// Smaller tables than the level has of itself: half the memory, and no difference to lines that anyone could measure.
const HASH_LOG: u32 = 16;
const CHAIN_LOG: u32 = 16;

/// How much is made room for at once, and handed on at once.
const PIECE_BYTES: usize = 32 << 10;

/// What one received chunk may unpack to. Lines become a tenth or so of their length; whoever sends what becomes
/// hundreds of times as long says nothing, but wants us to work.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// The line after which a direction is compressed; exactly so, since the edge has to know it without asking anyone.
pub const LAST_PLAIN_LINE: &str = "COMPRESS zstd";

/// The sending side.
pub struct Packer {
    encoder: Encoder<'static>,
    is_frame_open: bool,
}

impl Packer {
    pub fn new() -> io::Result<Packer> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        encoder.set_parameter(CParameter::HashLog(HASH_LOG))?;
        encoder.set_parameter(CParameter::ChainLog(CHAIN_LOG))?;
        Ok(Packer { encoder, is_frame_open: false })
    }

    /// Takes in what is said; what comes of it, now or later, is appended to `packed`.
    pub fn pack(&mut self, plain: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        self.is_frame_open |= !plain.is_empty();
        let mut input = InBuffer::around(plain);
        while input.pos() < plain.len() {
            into(packed, |output| self.encoder.run(&mut input, output))?;
        }
        Ok(())
    }

    /// From what was packed until here, all that was said can be read.
    pub fn flush(&mut self, packed: &mut Vec<u8>) -> io::Result<()> {
        while self.is_frame_open && into(packed, |output| self.encoder.flush(output))? > 0 {}
        Ok(())
    }

    /// What comes next shares no window with what came before.
    pub fn end_frame(&mut self, packed: &mut Vec<u8>) -> io::Result<()> {
        while self.is_frame_open {
            self.is_frame_open = into(packed, |output| self.encoder.finish(output, true))? > 0;
        }
        Ok(())
    }
}

/// Appends what the encoder has to give, one piece of it.
fn into(
    packed: &mut Vec<u8>,
    work: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    packed.reserve(PIECE_BYTES);
    let end = packed.len();
    work(&mut OutBuffer::around_pos(packed, end))
}

/// The receiving side.
pub struct Unpacker {
    decoder: Decoder<'static>,
    /// A piece of what was said.
    plain: Vec<u8>,
}

impl Unpacker {
    pub fn new() -> Result<Unpacker, String> {
        let make = || -> io::Result<Decoder<'static>> {
            let mut decoder = Decoder::new()?;
            // Who wants us to remember more than was agreed is not answered.
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
            Ok(decoder)
        };
        let decoder = make().map_err(|fault| format!("compression: {fault}"))?;
        Ok(Unpacker { decoder, plain: Vec::with_capacity(PIECE_BYTES) })
    }

    /// Hands on what a received chunk says, piece by piece, so that it never stands anywhere as a whole.
    pub fn unpack(&mut self, packed: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), String> {
        let mut input = InBuffer::around(packed);
        let mut unpacked_bytes = 0;
        loop {
            self.plain.clear();
            let mut output = OutBuffer::around(&mut self.plain);
            let outcome = self.decoder.run(&mut input, &mut output);
            outcome.map_err(|fault| format!("what came is not compressed as was agreed: {fault}"))?;
            unpacked_bytes += self.plain.len();
            if unpacked_bytes > UNPACKED_BYTES_MAX {
                return Err(format!(
                    "{} bytes unpack to more than {UNPACKED_BYTES_MAX}: nobody has so much to say at once",
                    packed.len()
                ));
            }
            take(&self.plain);
            // A full piece may have more behind it.
            if input.pos() == packed.len() && self.plain.len() < self.plain.capacity() {
                return Ok(());
            }
        }
    }
}

/// How what comes over a connection is to be read.
pub enum Inflow {
    /// As it is, for good.
    Plain,
    /// A link: as it is, until the other end says that it compresses.
    PlainYet,
    /// The line that said so may have ended with CR; its LF is not part of what is compressed, and no frame begins
    /// with one.
    Begun(Unpacker),
    Packed(Unpacker),
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Lines as they stand on a link, and no two alike.
    pub fn lines(count: u64) -> Vec<String> {
        let mut number = 1u64;
        let mut dice = move |sides: u64| {
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (number >> 33) % sides
        };
        let words = ["harvest", "barn", "green", "who", "and", "the", "rain", "later", "mill", "soon"];
        let line = |seq: u64| {
            let text: Vec<&str> = (0..4 + dice(8)).map(|_| words[dice(10) as usize]).collect();
            let (stamp, user) = (0x18c_0000_0000 + seq * 977, dice(40));
            format!(
                "@dot=7FA.2.M{seq:x}.{stamp:x} PRIVMSG #room{} nick{user}!user{user}@10.0.0.{user} * :{}",
                dice(6),
                text.join(" ")
            )
        };
        (1..=count).map(line).collect()
    }

    pub fn unpacked(unpacker: &mut Unpacker, packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut plain = Vec::new();
        unpacker.unpack(packed, |piece| plain.extend_from_slice(piece)).map(|()| plain)
    }

    #[test]
    fn what_was_flushed_can_be_read_and_is_a_fraction() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        let (mut said, mut sent) = (0, 0);
        for batch in lines(20_000).chunks(64) {
            let plain = batch.join("\r\n").into_bytes();
            let mut packed = Vec::new();
            packer.pack(&plain, &mut packed).unwrap();
            packer.flush(&mut packed).unwrap();
            assert_eq!(unpacked(&mut unpacker, &packed), Ok(plain.clone()));
            said += plain.len();
            sent += packed.len();
        }
        assert!(sent * 3 < said, "{sent} of {said}");
    }

    #[test]
    fn a_frame_that_ends_takes_the_window_with_it() {
        let secret = b"SECRET 7 :correct horse battery staple of this very network and no other";
        let sizes = |is_apart: bool| {
            let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
            let mut plain = Vec::new();
            let mut sizes = Vec::new();
            for _ in 0..3 {
                let mut packed = Vec::new();
                packer.pack(secret, &mut packed).unwrap();
                if is_apart { packer.end_frame(&mut packed) } else { packer.flush(&mut packed) }.unwrap();
                plain.extend(unpacked(&mut unpacker, &packed).unwrap());
                sizes.push(packed.len());
            }
            assert_eq!(plain, secret.repeat(3));
            sizes
        };
        let (apart, together) = (sizes(true), sizes(false));
        assert!(apart[0] == apart[1] && apart[1] == apart[2], "{apart:?}");
        assert!(together[1] * 3 < together[0], "{together:?}");
    }

    #[test]
    fn what_is_no_stream_is_a_fault() {
        for garbage in [&b"PING 17 0\r\n"[..], &[0; 64], &[0xff; 64]] {
            let fault = unpacked(&mut Unpacker::new().unwrap(), garbage).unwrap_err();
            assert!(fault.starts_with("what came is not compressed"), "{fault}");
        }
        // Damaged anywhere, it is a fault or other text, never a panic.
        let mut packed = Vec::new();
        let mut packer = Packer::new().unwrap();
        packer.pack(lines(50).join("\n").as_bytes(), &mut packed).unwrap();
        packer.flush(&mut packed).unwrap();
        for place in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[place] ^= 0x55;
            let _ = unpacked(&mut Unpacker::new().unwrap(), &damaged);
        }
    }

    #[test]
    fn a_window_beyond_what_was_agreed_is_a_fault() {
        let mut encoder = Encoder::new(LEVEL).unwrap();
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG + 4)).unwrap();
        let mut packed = Vec::new();
        into(&mut packed, |output| encoder.run(&mut InBuffer::around(b"hay"), output)).unwrap();
        into(&mut packed, |output| encoder.flush(output)).unwrap();
        assert!(unpacked(&mut Unpacker::new().unwrap(), &packed).is_err());
    }

    #[test]
    fn a_chunk_that_unpacks_to_ever_more_is_a_fault_and_never_held() {
        let mut packer = Packer::new().unwrap();
        let (hay, mut packed) = (vec![b'x'; 1 << 20], Vec::new());
        (0..64).for_each(|_| packer.pack(&hay, &mut packed).unwrap());
        packer.flush(&mut packed).unwrap();
        assert!(packed.len() < 16 << 10, "{}", packed.len());
        let (mut taken, mut piece_max) = (0, 0);
        let outcome = Unpacker::new().unwrap().unpack(&packed, |piece| {
            taken += piece.len();
            piece_max = piece_max.max(piece.len());
        });
        assert!(outcome.unwrap_err().contains("nobody has so much to say"));
        assert!(taken <= UNPACKED_BYTES_MAX && piece_max <= PIECE_BYTES, "{taken} {piece_max}");
    }
}
