//! Names in archives: any bytes, taken apart with care.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::refusal::Refusal;

/// A name, taken apart. Empty is the layer's root itself.
pub(super) type Parts = Vec<OsString>;

/// Takes a name apart. A leading `/` counts for nothing, as everything is below the
/// layer's root.
pub(super) fn parts(name: &[u8]) -> Result<Parts, Refusal> {
    let refused = |why| Refusal::Entry {
        entry: shown(name),
        why,
    };
    let mut parts = Parts::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused("leads out of the layer")),
            part if part.contains(&0) => return Err(refused("has a NUL in its name")),
            part => parts.push(OsString::from_vec(part.to_vec())),
        }
    }
    Ok(parts)
}

/// What the last part of a name means in an image's layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// Nothing special.
    Plain,
    /// Removes what lower layers have under this name.
    Whiteout(&'a OsStr),
    /// Hides all that lower layers have in this folder.
    Opaque,
    /// Notes of the tool that made the layer.
    Ignored,
}

/// Tells whiteouts from files (OCI image specification, "Whiteouts").
pub(super) fn meaning<'a>(last: &'a OsStr, whole: &[u8]) -> Result<Meaning<'a>, Refusal> {
    let Some(hidden) = last.as_bytes().strip_prefix(b".wh.") else {
        return Ok(Meaning::Plain);
    };
    match hidden {
        b".wh..opq" => Ok(Meaning::Opaque),
        _ if hidden.starts_with(b".wh.") => Ok(Meaning::Ignored),
        b"" | b"." | b".." => Err(Refusal::Entry {
            entry: shown(whole),
            why: "is a whiteout that leads out of its folder",
        }),
        hidden => Ok(Meaning::Whiteout(OsStr::from_bytes(hidden))),
    }
}

/// Returns a name as it can be printed.
pub(super) fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    let mut text = String::from_utf8_lossy(name).escape_debug().to_string();
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_root() {
        let whole = |name: &[u8]| parts(name).map(|parts| parts.join(OsStr::new("/")));
        assert_eq!(whole(b"./a//b/.").unwrap(), "a/b");
        assert_eq!(whole(b"/etc/passwd").unwrap(), "etc/passwd");
        assert_eq!(whole(b"./").unwrap(), "");
        for name in [&b"../x"[..], b"a/../../x", b"a/..", b"/.."] {
            assert!(whole(name).is_err(), "{}", shown(name));
        }
        assert_eq!(whole(b"a\xff/..b").unwrap().as_bytes(), b"a\xff/..b");
    }

    #[test]
    fn whiteouts_name_what_is_beside_them() {
        let read = |name: &'static str| meaning(OsStr::new(name), name.as_bytes());
        assert_eq!(read("wh.a").unwrap(), Meaning::Plain);
        assert_eq!(read(".wh.a").unwrap(), Meaning::Whiteout(OsStr::new("a")));
        assert_eq!(read(".wh..wh..opq").unwrap(), Meaning::Opaque);
        assert_eq!(read(".wh..wh.plnk").unwrap(), Meaning::Ignored);
        for name in [".wh.", ".wh..", ".wh..."] {
            assert!(read(name).is_err(), "{name}");
        }
    }
}
