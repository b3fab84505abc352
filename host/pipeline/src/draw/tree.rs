//! An indented tree.

use hm_plugin_protocol::{EdgeKind, Plan, PlanGraph, Step, StepId};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::{name, plain};

/// Levels that are drawn as indentation; deeper ones are told as a number.
const DEEPEST: usize = 8;

/// Most steps that an annotation names.
const MOST_NAMED: usize = 4;

/// Columns that the widest key may take before its label is pushed right.
const KEY_COLUMNS: usize = 32;

/// Returns the plan as lines of at most `width` columns, one a step: a step stands
/// below the one whose file system it inherits (`builds_in`), a chain stays in one
/// column, and what else a step waits for (`depends_on`) is named behind it.
pub fn tree(plan: &Plan, width: usize) -> String {
    let width = width.max(40);
    let forest = Forest::new(plan);
    let mut out = String::new();
    // Pairs of a step and the prefix of its line; the last one pushed is drawn first.
    let mut open: Vec<Twig> = forest.roots().map(Twig::root).collect();
    open.reverse();
    while let Some(twig) = open.pop() {
        let line = twig.line(plan, &forest, width);
        out.push_str(line.trim_end());
        out.push('\n');
        let children = forest.children(twig.step);
        let count = children.len();
        for (index, &child) in children.iter().enumerate().rev() {
            open.push(twig.child(child, index + 1 == count, count == 1));
        }
    }
    out
}

/// Who is whose child, in plan order.
struct Forest {
    graph: PlanGraph,
    starts: Vec<usize>,
    children: Vec<StepId>,
    /// `depends_on` parents that are not the `builds_in` parent, by step.
    waits: Vec<Vec<StepId>>,
}

impl Forest {
    fn new(plan: &Plan) -> Self {
        let graph = PlanGraph::new(plan);
        let len = plan.steps.len();
        let ids = 0..len as StepId;
        let mut starts = vec![0; len + 1];
        for parent in ids.clone().filter_map(|id| graph.parent(id)) {
            starts[parent as usize + 1] += 1;
        }
        for index in 0..len {
            starts[index + 1] += starts[index];
        }
        let mut next = starts.clone();
        let mut children = vec![0; starts[len]];
        for id in ids {
            if let Some(parent) = graph.parent(id) {
                children[next[parent as usize]] = id;
                next[parent as usize] += 1;
            }
        }
        let mut waits = vec![Vec::new(); len];
        for edge in plan
            .edges
            .iter()
            .filter(|edge| edge.kind == EdgeKind::DependsOn)
        {
            if graph.parent(edge.after) != Some(edge.before) {
                waits[edge.after as usize].push(edge.before);
            }
        }
        Self {
            graph,
            starts,
            children,
            waits,
        }
    }

    fn roots(&self) -> impl Iterator<Item = StepId> {
        (0..self.graph.len() as StepId).filter(|&id| self.graph.parent(id).is_none())
    }

    fn children(&self, step: StepId) -> &[StepId] {
        &self.children[self.starts[step as usize]..self.starts[step as usize + 1]]
    }
}

/// A line that is still to be drawn.
struct Twig {
    step: StepId,
    /// By level: whether a sibling of that level follows.
    followed: Vec<bool>,
    /// Levels altogether; `followed` holds the first [`DEEPEST`].
    level: usize,
    /// The only child of the step before: drawn in the same column.
    in_chain: bool,
}

impl Twig {
    fn root(step: StepId) -> Self {
        Self {
            step,
            followed: Vec::new(),
            level: 0,
            in_chain: false,
        }
    }

    fn child(&self, step: StepId, is_last: bool, only: bool) -> Self {
        let mut followed = self.followed.clone();
        if only {
            return Self {
                step,
                followed,
                level: self.level,
                in_chain: true,
            };
        }
        if followed.len() < DEEPEST {
            followed.push(!is_last);
        }
        Self {
            step,
            followed,
            level: self.level + 1,
            in_chain: false,
        }
    }

    fn prefix(&self) -> String {
        let mut prefix = String::new();
        let own = if self.in_chain {
            None
        } else {
            self.followed.len().checked_sub(1)
        };
        for (level, followed) in self.followed.iter().enumerate() {
            prefix.push_str(match (Some(level) == own, followed) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        if self.level > DEEPEST {
            prefix.push_str(&format!("({} deep) ", self.level));
        }
        if self.in_chain {
            prefix.push_str("→ ");
        }
        prefix
    }

    fn line(&self, plan: &Plan, forest: &Forest, width: usize) -> String {
        let step = &plan.steps[self.step as usize];
        let mut line = self.prefix();
        line.push_str(&cut(&name(&step.key), KEY_COLUMNS));
        let label = plain(&step.display_name());
        if label != step.key {
            line.push_str("  ");
            line.push_str(&label);
        }
        // The label gives way to what the picture is for, but only so far.
        let room = width.saturating_sub(line.width() + 2).max(width / 2);
        let notes = notes(plan, step, &forest.waits[self.step as usize], room);
        if notes.is_empty() {
            return cut(&line, width);
        }
        let left = cut(&line, width.saturating_sub(notes.width() + 2));
        format!("{left}  {notes}")
    }
}

/// Returns "[image; after a, b and 3 more]" in at most `room` columns, or nothing.
fn notes(plan: &Plan, step: &Step, waits: &[StepId], room: usize) -> String {
    let bracketed = |named: usize| {
        let mut notes: Vec<String> = step.image.iter().map(|image| plain(image)).collect();
        if !waits.is_empty() {
            notes.push(after(plan, waits, named));
        }
        if step.cache.is_some() {
            notes.push("cached".to_owned());
        }
        if notes.is_empty() {
            String::new()
        } else {
            format!("[{}]", notes.join("; "))
        }
    };
    let fitting = (0..=MOST_NAMED)
        .rev()
        .map(bracketed)
        .find(|notes| notes.width() <= room);
    fitting.unwrap_or_else(|| cut(&bracketed(0), room))
}

/// Returns "after a, b and 3 more", with the first `named` of the steps.
fn after(plan: &Plan, waits: &[StepId], named: usize) -> String {
    let shown = waits
        .iter()
        .take(named)
        .map(|&id| name(&plan.steps[id as usize].key));
    let shown: Vec<String> = shown.map(|key| cut(&key, KEY_COLUMNS)).collect();
    match waits.len() - shown.len() {
        0 => format!("after {}", shown.join(", ")),
        1 if shown.is_empty() => "after 1 step".to_owned(),
        more if shown.is_empty() => format!("after {more} steps"),
        more => format!("after {} and {more} more", shown.join(", ")),
    }
}

/// Returns `text` in at most `columns` columns, with an ellipsis where it was cut.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= columns
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push('…');
    out
}
