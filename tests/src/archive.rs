//! Archives as anybody could write them: nothing is checked, so that hostile ones can be
//! made.

/// A tar that grows, entry by entry.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
}

impl Archive {
    /// Begins an empty archive.
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            mode: 0o755,
            owner: (0, 0),
        }
    }

    /// Gives the entries from here on this mode.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Gives the entries from here on this user and group.
    #[must_use]
    pub fn owner(mut self, user: u32, group: u32) -> Self {
        self.owner = (user, group);
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(b'0', name.as_ref(), b"", content.as_ref())
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, name: impl AsRef<[u8]>) -> Self {
        self.entry(b'5', name.as_ref(), b"", b"")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(b'2', name.as_ref(), target.as_ref(), b"")
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hard_link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(b'1', name.as_ref(), target.as_ref(), b"")
    }

    /// Adds a character device (kind `b'3'`) or a block device (`b'4'`).
    #[must_use]
    pub fn device(mut self, kind: u8, name: &str, major: u32, minor: u32) -> Self {
        let mut header = self.header(kind, name.as_bytes(), b"", 0);
        octal(&mut header[329..337], u64::from(major));
        octal(&mut header[337..345], u64::from(minor));
        self.push(header, b"");
        self
    }

    /// Adds extended records (`name`, value) to the next entry.
    #[must_use]
    pub fn records(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (name, value) in records {
            let bare = name.len() + value.len() + 3;
            // The length counts its own digits.
            let mut length = bare + 1;
            while length != bare + length.to_string().len() {
                length = bare + length.to_string().len();
            }
            content.extend(format!("{length} {name}=").into_bytes());
            content.extend(*value);
            content.push(b'\n');
        }
        self.entry(b'x', b"records", b"", &content)
    }

    /// Adds an entry of any kind.
    #[must_use]
    pub fn entry(mut self, kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        for (kind, text) in [(b'L', name), (b'K', link)] {
            if text.len() > 100 {
                let header = self.header(kind, b"././@LongLink", b"", text.len() as u64);
                self.push(header, text);
            }
        }
        let header = self.header(kind, name, link, content.len() as u64);
        self.push(header, content);
        self
    }

    /// Adds a header that promises more than comes after it.
    #[must_use]
    pub fn torn(mut self, name: &str, promised: u64, content: &[u8]) -> Vec<u8> {
        let mut header = self.header(b'0', name.as_bytes(), b"", promised);
        seal(&mut header);
        self.bytes.extend(header);
        self.bytes.extend(content);
        self.bytes
    }

    /// Returns the whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    fn header(&self, kind: u8, name: &[u8], link: &[u8], size: u64) -> [u8; 512] {
        let mut header = [0; 512];
        let short = &name[..name.len().min(100)];
        header[..short.len()].copy_from_slice(short);
        octal(&mut header[100..108], u64::from(self.mode));
        octal(&mut header[108..116], u64::from(self.owner.0));
        octal(&mut header[116..124], u64::from(self.owner.1));
        octal(&mut header[124..136], size);
        octal(&mut header[136..148], 1_700_000_000);
        header[156] = kind;
        let short = &link[..link.len().min(100)];
        header[157..157 + short.len()].copy_from_slice(short);
        header[257..265].copy_from_slice(b"ustar  \0");
        header
    }

    fn push(&mut self, mut header: [u8; 512], content: &[u8]) {
        seal(&mut header);
        self.bytes.extend(header);
        self.bytes.extend(content);
        let padding = content.len().next_multiple_of(512) - content.len();
        self.bytes.extend(vec![0; padding]);
    }
}

fn octal(field: &mut [u8], number: u64) {
    let width = field.len() - 1;
    let text = format!("{number:0width$o}");
    field[..width].copy_from_slice(&text.as_bytes()[text.len() - width..]);
}

fn seal(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header[148..155], sum);
}
