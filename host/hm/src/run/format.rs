//! How a build is shown: by which format, and with which looks.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use hm_plugin_protocol::Plan;
use hm_render::{Detail, Github, Human, Json, Plain, Renderer};

use super::{Choice, CloudChoice, Options, Prepared};
use crate::failure::{Exit, Failure};
use crate::terminal::{Terminal, has_unicode};

/// How the build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Human,
    Plain,
    Json,
    Github,
}

impl Format {
    /// Returns the format of this name, or the one that suits where the output goes.
    pub(super) fn choose(name: &str, terminal: &Terminal) -> Self {
        match name {
            "human" => Self::Human,
            "plain" => Self::Plain,
            "json" => Self::Json,
            "github" => Self::Github,
            _ if terminal.is_live => Self::Human,
            _ if terminal.is_github => Self::Github,
            _ => Self::Plain,
        }
    }

    /// Makes what shows a build of `plan`.
    ///
    /// # Errors
    /// Exit 4: the standard stream cannot be opened.
    pub(super) fn renderer(
        self,
        plan: &Plan,
        look: &hm_render::Options,
    ) -> Result<Box<dyn Renderer>, Failure> {
        // Not the buffered standard streams: renderers make large writes of their own.
        let open =
            |stream: std::os::fd::BorrowedFd<'_>| stream.try_clone_to_owned().map(File::from);
        let out = match self {
            Self::Human => open(io::stderr().as_fd()),
            Self::Plain | Self::Json | Self::Github => open(io::stdout().as_fd()),
        };
        let out = out.map_err(|error| {
            Failure::caused(Exit::Unavailable, "there is nowhere to write to", error)
        })?;
        Ok(match self {
            Self::Human => Box::new(Human::new(out, plan, look)),
            Self::Plain => Box::new(Plain::new(out, plan, look)),
            Self::Json => Box::new(Json::new(out)),
            Self::Github => {
                let token = uuid::Uuid::new_v4().simple().to_string();
                Box::new(Github::new(out, plan, look, token))
            }
        })
    }
}

/// Returns how text may look in a format.
pub(super) fn look(
    options: &Options,
    prepared: &Prepared,
    format: Format,
    terminal: &Terminal,
) -> hm_render::Options {
    let slug = &prepared.rendered.slug;
    let mut command = match &prepared.choice {
        Choice::Cloud(CloudChoice {
            attach: Some(number),
            ..
        }) => format!("hm cloud build watch -p {slug} {number}"),
        Choice::Cloud(_) => format!("hm run {slug} --backend cloud"),
        Choice::Local | Choice::Stranger(_) => format!("hm run {slug}"),
    };
    if let Some(dir) = &options.dir {
        command += &format!(" -d {}", dir.display());
    }
    let is_cloud = matches!(prepared.choice, Choice::Cloud(_));
    hm_render::Options {
        color: if format == Format::Human {
            terminal.color_on_stderr()
        } else {
            terminal.color_on_stdout()
        },
        unicode: has_unicode(),
        interactive: terminal.is_live,
        size: Terminal::size(),
        detail: match (options.quiet, options.verbose) {
            (true, _) => Detail::Quiet,
            (false, 0) => Detail::Normal,
            (false, _) => Detail::Verbose,
        },
        backend: prepared.choice.name().to_owned(),
        command,
        // The service goes on whatever it is asked.
        goes_on: options.keep_going || is_cloud,
        watch: is_cloud.then(|| "hm cloud build watch".to_owned()),
        spill_dir: std::env::temp_dir(),
    }
}
