//! `hm backend inspect`: what a component is and asks for, without running it.

use std::io::Write;

use hm_exec::Inspection;
use hm_render::clean_line;
use serde::Serialize;

use crate::config::{Folders, Layer, Origin, Settings};
use crate::consent::{self, Grant, GrantFile, Need};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::run::{self, Choice};

/// Show what a component is and asks for, without running it
#[derive(clap::Args)]
pub(super) struct Args {
    /// A component's file, or a backend's name
    #[arg(value_name = "FILE|NAME")]
    component: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What is told, for programs.
#[derive(Serialize)]
struct Told<'a> {
    backend: &'a str,
    digest: &'a str,
    size: u64,
    interface: &'a str,
    imports: &'a [String],
    asks: Vec<Asked>,
    built_in: bool,
    /// What it may do now, in this repository.
    grant: Option<Grant>,
    /// Why not, in words.
    refused: Option<String>,
    /// What would allow it.
    command: Option<String>,
    /// The author's words; nobody checked them.
    author: Option<&'a hm_exec::Author>,
    tools: &'a [hm_exec::Tool],
}

/// A capability that needs a grant.
#[derive(Serialize)]
struct Asked {
    interface: &'static str,
    meaning: &'static str,
}

/// Prints digest, size, imports and what would be allowed here.
pub(super) fn run(args: &Args, folders: &Folders) -> Result<Exit, Failure> {
    let root = project::find_root(None)?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let (choice, inspection) = super::inspect_component(&args.component, folders, &settings)?;
    let mut told = Told {
        backend: choice.name(),
        digest: &inspection.digest,
        size: inspection.size,
        interface: &inspection.contract,
        imports: &inspection.imports,
        asks: inspection
            .asks
            .iter()
            .map(|interface| Asked {
                interface: interface.name(),
                meaning: interface.meaning(),
            })
            .collect(),
        built_in: !matches!(choice, Choice::Stranger(_)),
        grant: None,
        refused: None,
        command: None,
        author: inspection.author.as_ref(),
        tools: &inspection.tools,
    };
    if let Choice::Stranger(stranger) = &choice {
        let root = root.unwrap_or_default();
        let from_repository = consent::settings_digest(&stranger.from_repository);
        let need = Need {
            http: stranger.patterns(),
            ..super::need(&inspection, &root, &settings, from_repository)
        };
        match GrantFile::read(folders)?.covering(&need) {
            Ok(grant) => told.grant = Some(grant.clone()),
            Err(refusal) => {
                told.refused = Some(refusal.to_string());
                told.command = Some(consent::command(&need));
            }
        }
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let text = serde_json::to_string_pretty(&told).map_err(std::io::Error::from)?;
        writeln!(out, "{}", in_ascii(&text))?;
    } else {
        out.write_all(text(&told, &inspection, &choice.http()).as_bytes())?;
    }
    Ok(Exit::Success)
}

/// Returns the same JSON without a character that a terminal would act on or hide: a program
/// reads it all the same.
fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text += &format!("\\u{unit:04x}");
            }
        }
    }
    text
}

fn text(told: &Told<'_>, inspection: &Inspection, http: &[(String, Origin)]) -> String {
    let mut text = format!("backend   {}\n", clean_line(told.backend));
    text += &run::describe(inspection, http);
    text += &format!("speaks    {}\n", told.interface);
    for (number, import) in told.imports.iter().enumerate() {
        let head = if number == 0 { "imports" } else { "" };
        text += &format!("{head:<8}  {}\n", clean_line(import));
    }
    if let Some(author) = told.author {
        text += &format!(
            "says      it is {} {}, made with {}; nobody checked that\n",
            clean_line(&author.name),
            clean_line(&author.version),
            clean_line(&author.sdk)
        );
    }
    for (number, tool) in told.tools.iter().enumerate() {
        let head = if number == 0 { "built by" } else { "" };
        text += &format!(
            "{head:<8}  {} {} ({})\n",
            clean_line(&tool.name),
            clean_line(&tool.version),
            clean_line(&tool.role)
        );
    }
    match (&told.grant, &told.refused) {
        (Some(grant), _) => {
            text += "allowed   yes, in this repository\n";
            text += &super::list::scopes(grant, "          ");
        }
        (None, Some(refused)) => {
            text += &format!(
                "allowed   no: it {refused}\nto allow  {}\n",
                told.command.as_deref().unwrap_or_default()
            );
        }
        (None, None) => text += "allowed   it is built in\n",
    }
    text
}
