//! Names of environment variables.

/// Returns what is wrong with the name of an environment variable, if anything is.
pub(crate) fn variable_fault(variable: &str) -> Option<&'static str> {
    if variable.is_empty() {
        Some("is empty")
    } else if variable.contains('=') {
        Some("holds a `=`")
    } else if variable.contains('\0') {
        Some("holds a NUL character")
    } else if variable.contains(char::is_control) {
        // Allowed by the kernel, and a second line wherever variables are listed.
        Some("holds a line end or another control character")
    } else {
        None
    }
}
