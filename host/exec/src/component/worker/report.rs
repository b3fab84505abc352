//! What a component says of itself, read from its bytes without compiling them.

use serde::{Deserialize, Serialize};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::{KnownCustom, Parser, Payload, Validator, types::TypesRef};

use crate::component::engine::FEATURES;
use crate::component::inspection::{Author, Tool};

/// More imports or exports than this are no backend.
const NAMES_MAX: usize = 1_000;
/// Tools that are listed; a build has a handful.
const TOOLS_MAX: usize = 16;
/// Characters of what an author or a tool calls itself.
const WORD_MAX: usize = 64;

/// A valid component's imports, exports and embedded words. As the file has them: cleaned
/// only where they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::component) struct Report {
    pub(in crate::component) imports: Vec<ImportItem>,
    pub(in crate::component) exports: Vec<String>,
    pub(in crate::component) author: Option<Author>,
    pub(in crate::component) tools: Vec<Tool>,
    /// How the types of its imports differ from what the host has under their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::component) misfit: Option<String>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::component) struct ImportItem {
    pub(in crate::component) name: String,
    /// An interface without functions and resources only names types.
    pub(in crate::component) is_types: bool,
}

/// Validates the bytes with the engine's own rules and lists what they hold.
///
/// # Errors
/// What is wrong with them, in words.
pub(in crate::component) fn read(bytes: &[u8]) -> Result<Report, String> {
    let mut validator = Validator::new_with_features(FEATURES);
    let types = validator.validate_all(bytes).map_err(|error| {
        let at = error.offset();
        if error.message().contains("unexpected end") {
            format!("it is cut short at byte {}", bytes.len())
        } else {
            format!("{} (at byte {at})", error.message())
        }
    })?;
    let mut report = names(bytes, types.as_ref())?;
    words(bytes, &mut report);
    Ok(report)
}

/// Lists imports and exports of the outermost component, in their order.
fn names(bytes: &[u8], types: TypesRef<'_>) -> Result<Report, String> {
    let mut report = Report {
        imports: Vec::new(),
        exports: Vec::new(),
        author: None,
        tools: Vec::new(),
        misfit: None,
    };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.map_err(|error| error.to_string())?.name.name;
                    let item = types.component_item_for_import(name);
                    report.imports.push(ImportItem {
                        name: name.to_owned(),
                        is_types: item.is_some_and(|item| is_types(&item.ty, types)),
                    });
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let name = export.map_err(|error| error.to_string())?.name.name;
                    report.exports.push(name.to_owned());
                }
            }
            _ => {}
        }
        if report.imports.len().max(report.exports.len()) > NAMES_MAX {
            return Err(format!("it has more than {NAMES_MAX} imports or exports"));
        }
    }
    Ok(report)
}

fn is_types(item: &ComponentEntityType, types: TypesRef<'_>) -> bool {
    use wasmparser::component_types::ComponentAnyTypeId;
    let ComponentEntityType::Instance(id) = item else {
        return false;
    };
    types[*id].exports.values().all(|export| {
        matches!(
            export.ty,
            ComponentEntityType::Type {
                created: ComponentAnyTypeId::Defined(_)
                    | ComponentAnyTypeId::Func(_)
                    | ComponentAnyTypeId::Instance(_)
                    | ComponentAnyTypeId::Component(_),
                ..
            }
        )
    })
}

/// Reads what the SDK put into the custom section `hm-plugin` (name, version and SDK,
/// separated by NUL) and what tools left in `producers`. Both sit in the core modules.
fn words(bytes: &[u8], report: &mut Report) {
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(Payload::CustomSection(section)) = payload else {
            continue;
        };
        match section.as_known() {
            KnownCustom::Producers(fields) => {
                for field in fields.into_iter().flatten() {
                    for value in field.values.into_iter().flatten() {
                        let tool = Tool {
                            role: word(field.name.as_bytes()),
                            name: word(value.name.as_bytes()),
                            version: word(value.version.as_bytes()),
                        };
                        if report.tools.len() < TOOLS_MAX && !report.tools.contains(&tool) {
                            report.tools.push(tool);
                        }
                    }
                }
            }
            _ if section.name() == "hm-plugin" && report.author.is_none() => {
                let mut words = section.data().split(|&byte| byte == 0).map(word);
                report.author = words
                    .next()
                    .zip(words.next())
                    .map(|(name, version)| Author {
                        name,
                        version,
                        sdk: words.next().unwrap_or_default(),
                    });
            }
            _ => {}
        }
    }
}

fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(WORD_MAX)
        .collect()
}
