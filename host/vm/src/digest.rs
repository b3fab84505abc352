//! SHA-256 digests, written as registries write them: `sha256:…`.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Returns the digest of what is in memory.
pub(crate) fn of(content: &[u8]) -> String {
    written(Sha256::new_with_prefix(content))
}

/// Reads to the end, and returns the digest of it. Blocks.
pub(crate) fn of_reader(mut reader: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(written(hash)),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends a digest.
pub(crate) fn written(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// Returns the letters of a digest, checked, as they become file names.
pub(crate) fn hex_of(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (hex.len() == 64 && hex.bytes().all(is_digit)).then_some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_names_of_files_or_nothing() {
        let digest = of(b"");
        assert_eq!(digest, of_reader(io::empty()).unwrap());
        let hex = hex_of(&digest).unwrap();
        assert!(hex.starts_with("e3b0c442"));
        for bad in [
            hex,
            "sha256:",
            "sha256:../../etc/passwd",
            &digest.to_uppercase(),
            &digest[..70],
        ] {
            assert_eq!(hex_of(bad), None, "{bad}");
        }
    }
}
