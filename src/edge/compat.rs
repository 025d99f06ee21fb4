//! Answers to an older protocol's question for servers, so that programs that speak it find this one.
//!
//! ```text
//! frame = name SP length SP body LF            ; length counts the body's bytes
//! DISCOVER_SERVER                              ; no body
//! SERVER_ANNOUNCE                              ; a protobuf message:
//!     1 server id, text                        ;   2 feature, any number of them:
//!         1 name, text · 2 port · 23 port for UDP, where there is one
//! ```

/// A service that a server offers.
pub struct Feature<'a> {
    pub name: &'a str,
    pub port: u16,
    /// Where the service is to be had by UDP as well; none of ours is.
    pub udp_port: Option<u16>,
}

/// Whether these bytes ask for servers.
pub fn is_question(bytes: &[u8]) -> bool {
    bytes == b"DISCOVER_SERVER 0 \n"
}

/// The answer of a server with these services.
pub fn announcement(server_id: &str, features: &[Feature]) -> Vec<u8> {
    let mut body = Vec::new();
    put_bytes(&mut body, 1, server_id.as_bytes());
    for feature in features {
        let mut inner = Vec::new();
        put_bytes(&mut inner, 1, feature.name.as_bytes());
        put_number(&mut inner, 2, feature.port.into());
        if let Some(port) = feature.udp_port {
            put_number(&mut inner, 23, port.into());
        }
        put_bytes(&mut body, 2, &inner);
    }
    let mut frame = format!("SERVER_ANNOUNCE {} ", body.len()).into_bytes();
    frame.extend(body);
    frame.push(b'\n');
    frame
}

/// Protobuf's two kinds of field that are needed: a number, and bytes with their length before them.
fn put_number(into: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(into, field << 3);
    put_varint(into, value);
}

fn put_bytes(into: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(into, field << 3 | 2);
    put_varint(into, value.len() as u64);
    into.extend(value);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_own_examples_are_met_byte_for_byte() {
        assert!(is_question(b"DISCOVER_SERVER 0 \n"));
        for other in
            [&b"DISCOVER_SERVER 0\n"[..], b"DISCOVER_SERVER 0 ", b"DISCOVER_SERVER 1 x\n", b"FOLK", b""]
        {
            assert!(!is_question(other));
        }
        let features = [
            Feature { name: "TYPING_INDICATOR", port: 7777, udp_port: Some(7778) },
            Feature { name: "MESSAGES", port: 6666, udp_port: None },
        ];
        assert_eq!(
            announcement("server_2", &features),
            b"SERVER_ANNOUNCE 52 \n\x08server_2\x12\x19\n\x10TYPING_INDICATOR\x10\xe1<\xb8\x01\xe2<\x12\r\n\x08MESSAGES\x10\x8a4\n"
        );
        assert_eq!(announcement("", &[]), b"SERVER_ANNOUNCE 2 \n\x00\n");
    }
}
