//! The macro that makes a component of a backend, and the section that names it.

/// Makes the component's exports from a type that implements [`Backend`](crate::Backend).
///
/// Also writes the custom section `hm-plugin`: the package's name, its version and the
/// SDK's, separated by a zero byte. `hm backend inspect` shows it without running
/// anything. Call it once, in the crate that is built as a `cdylib`.
#[macro_export]
macro_rules! export {
    ($backend:ty) => {
        const _: () = {
            // The generated macro takes an identifier.
            #[cfg(target_family = "wasm")]
            type HmBackend = $crate::Adapter<$backend>;
            // Native linkers do not take the names of the exports.
            #[cfg(target_family = "wasm")]
    $crate::bindings::export_backend!(HmBackend with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: fn() = $crate::assert_backend::<$backend>;

            const PARTS: [&str; 3] = [
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
                $crate::VERSION,
            ];
            #[used]
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "hm-plugin"))]
            static SECTION: [u8; $crate::joined_len(PARTS)] = $crate::join(PARTS);
        };
    };
}

/// Version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Stands in for the exports in native builds: what they need is checked.
#[doc(hidden)]
pub fn assert_backend<B: crate::Backend>() {}

/// Length of [`join`]'s result.
#[doc(hidden)]
pub const fn joined_len(parts: [&str; 3]) -> usize {
    parts[0].len() + 1 + parts[1].len() + 1 + parts[2].len()
}

/// Joins `parts` with zero bytes, at compile time.
#[doc(hidden)]
pub const fn join<const N: usize>(parts: [&str; 3]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let text = parts[part].as_bytes();
        let mut index = 0;
        while index < text.len() {
            bytes[at] = text[index];
            at += 1;
            index += 1;
        }
        // Skips the separator, which is there already.
        at += 1;
        part += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_separated_by_one_zero_byte() {
        const PARTS: [&str; 3] = ["local", "0.1.0", "0.2.0"];
        assert_eq!(
            &join::<{ joined_len(PARTS) }>(PARTS),
            b"local\x000.1.0\x000.2.0"
        );
    }
}
