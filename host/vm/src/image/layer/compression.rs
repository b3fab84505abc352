//! Compression, told by what an archive begins with rather than by what it is called.

use std::io::{self, BufRead, BufReader, Read};

use super::refusal::Refusal;

/// Larger windows than 128 MiB are not decoded: that is the memory which decoding takes.
const WINDOW_LOG: u32 = 27;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
    Foreign(&'static str),
}

fn kind(start: &[u8]) -> Kind {
    match start {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Kind::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Kind::Foreign("xz"),
        [b'B', b'Z', b'h', ..] => Kind::Foreign("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Kind::Foreign("lz4"),
        _ => Kind::Plain,
    }
}

/// Returns the reader of what is inside.
pub(crate) fn open<'a>(reader: impl Read + 'a) -> Result<Box<dyn Read + 'a>, Refusal> {
    let mut reader = BufReader::with_capacity(256 << 10, reader);
    let start = fill(&mut reader).map_err(Refusal::reading)?;
    match kind(start) {
        Kind::Plain => Ok(Box::new(reader)),
        Kind::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
        Kind::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(reader).and_then(|mut decoder| {
                    decoder.window_log_max(WINDOW_LOG)?;
                    Ok(decoder)
                });
            Ok(Box::new(decoder.map_err(Refusal::reading)?))
        }
        Kind::Foreign(name) => Err(Refusal::Compression(name)),
    }
}

fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    reader.fill_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let inside = b"what is inside";
        let gzip = {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            io::Write::write_all(&mut encoder, inside).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = zstd::stream::encode_all(&inside[..], 1).unwrap();
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &zstd[..]].concat();
        let twice = [&zstd[..], &zstd[..]].concat();
        for (archive, times) in [
            (inside.to_vec(), 1),
            ([&gzip[..], &gzip[..]].concat(), 2),
            (gzip, 1),
            (zstd, 1),
            (skipped, 1),
            (twice, 2),
        ] {
            let mut out = Vec::new();
            open(&archive[..]).unwrap().read_to_end(&mut out).unwrap();
            assert_eq!(out, inside.repeat(times));
        }
        assert!(open(&b""[..]).is_ok(), "an empty layer");
        assert!(matches!(
            open(&b"\xfd7zXZ\0"[..]),
            Err(Refusal::Compression("xz"))
        ));
    }
}
