//! Users and shells of images, by the image's own files.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::sandbox::failure::Failure;

/// What `/etc/passwd` and `/etc/group` may take; they are a stranger's.
const LONGEST: u64 = 4 << 20;

/// As whom a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// Finds the user that an image names: `USER[:GROUP]`, each a name or a number.
pub(super) fn find(named: Option<&str>) -> Result<User, Failure> {
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let user = resolve(named.unwrap_or("0"), &passwd, &group).map_err(|cause| Failure {
        cause,
        errno: None,
        remedy: Some("use an image whose configuration names a user that it has".to_owned()),
    })?;
    let groups = fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
    if groups.trim() != "deny" {
        return Ok(user);
    }
    // A user namespace that an ordinary user has made has one user and one group. All
    // files are theirs, so nothing is out of reach.
    Ok(User {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        ..user
    })
}

/// Finds the program `sh` as the command itself would.
pub(super) fn shell(path: Option<&str>) -> Result<String, Failure> {
    let folders = path.unwrap_or_default().split(':').chain(["/bin"]);
    for folder in folders.filter(|folder| folder.starts_with('/')) {
        let program = format!("{folder}/sh");
        let is_program = fs::metadata(&program)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if is_program {
            return Ok(program);
        }
    }
    Err(Failure::unavailable(
        "the image has no `sh`, and steps are shell commands",
        "use an image with a shell: a `-debug` or `-slim` variant, or one built on such",
    ))
}

fn read(path: &str) -> String {
    let mut text = Vec::new();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(Path::new(path));
    if let Ok(file) = opened
        && file.metadata().is_ok_and(|found| found.is_file())
    {
        let _ = file.take(LONGEST).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn resolve(named: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (user, own_group) = match named.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (named, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| {
            fields.len() >= 6
                && match number {
                    Some(number) => fields[2].parse() == Ok(number),
                    None => fields[0] == user,
                }
        });
    let mut found = match (&entry, number) {
        (Some(fields), _) => User {
            uid: fields[2].parse().map_err(|_| bad("user", user))?,
            gid: fields[3].parse().map_err(|_| bad("user", user))?,
            groups: Vec::new(),
            home: fields[5].to_owned(),
        },
        (None, Some(uid)) => User {
            uid,
            gid: 0,
            groups: Vec::new(),
            home: String::new(),
        },
        (None, None) => return Err(missing("user", user, "passwd")),
    };
    if found.home.is_empty() {
        found.home = if found.uid == 0 { "/root" } else { "/" }.to_owned();
    }
    let groups = || {
        group
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
    };
    match own_group {
        Some(name) => {
            let by_name = groups().find(|fields| fields.len() >= 3 && fields[0] == name);
            found.gid = match (by_name, name.parse()) {
                (Some(fields), _) => fields[2].parse().map_err(|_| bad("group", name))?,
                (None, Ok(gid)) => gid,
                (None, Err(_)) => return Err(missing("group", name, "group")),
            };
        }
        None => {
            if let Some(fields) = &entry {
                let is_member = |members: &str| members.split(',').any(|name| name == fields[0]);
                found.groups = groups()
                    .filter(|group| group.len() >= 4 && is_member(group[3]))
                    .filter_map(|group| group[2].parse().ok())
                    .take(1024)
                    .collect();
            }
        }
    }
    Ok(found)
}

fn missing(what: &str, name: &str, file: &str) -> String {
    format!(
        "the image runs as the {what} `{}`, which its /etc/{file} does not have",
        name.escape_debug()
    )
}

fn bad(what: &str, name: &str) -> String {
    format!(
        "the image's entry for the {what} `{}` has no number",
        name.escape_debug()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbad\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nteam:x:2000:app\n";

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let find = |named| {
            resolve(named, PASSWD, GROUP).map(|user| (user.uid, user.gid, user.groups, user.home))
        };
        let home = |home: &str| home.to_owned();
        assert_eq!(
            find("app"),
            Ok((1000, 1001, vec![10, 2000], home("/home/app")))
        );
        assert_eq!(
            find("1000"),
            Ok((1000, 1001, vec![10, 2000], home("/home/app")))
        );
        assert_eq!(find("app:wheel"), Ok((1000, 10, vec![], home("/home/app"))));
        assert_eq!(find("1234"), Ok((1234, 0, vec![], home("/"))));
        assert_eq!(find("1234:77"), Ok((1234, 77, vec![], home("/"))));
        assert_eq!(find("0"), Ok((0, 0, vec![10], home("/root"))));
        assert_eq!(find("").map(|found| found.0), Ok(0));
        assert!(find("nobody").unwrap_err().contains("`nobody`"));
        assert!(find("app:none").unwrap_err().contains("/etc/group"));
        assert_eq!(
            resolve("0", "", "").unwrap().home,
            "/root",
            "no files at all"
        );
    }
}
