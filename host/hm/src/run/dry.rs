//! `--dry-run`: what would run, in an order in which it could.

use hm_exec::ImageMap;
use hm_plugin_protocol::{Plan, PlanGraph};
use hm_render::clean_line;

/// Returns the plan for people: steps in order, what each starts from, waits for and runs.
pub(super) fn text(plan: &Plan, images: &ImageMap, backend: &str) -> String {
    let graph = PlanGraph::new(plan);
    let key = |step: u32| clean_line(&plan.steps[step as usize].key).into_owned();
    let mut text = format!(
        "pipeline {} on backend {}: {} step{}, nothing was run\n",
        clean_line(&plan.pipeline),
        clean_line(backend),
        plan.steps.len(),
        if plan.steps.len() == 1 { "" } else { "s" },
    );
    if let Some(timeout) = plan.timeout {
        text += &format!("timeout {timeout:?}\n");
    }
    for step in graph.order() {
        let node = &plan.steps[step as usize];
        text += &format!("\n[{}]", key(step));
        if let Some(label) = node.label.as_ref().filter(|label| **label != node.key) {
            text += &format!(" {}", clean_line(label));
        }
        text.push('\n');
        match (graph.parent(step), &node.image) {
            (Some(parent), _) => text += &format!("  from     {}\n", key(parent)),
            (None, Some(image)) => {
                let mapped = images.apply(image);
                text += &format!("  image    {}", clean_line(mapped));
                if mapped != image {
                    text += &format!("  (for {})", clean_line(image));
                }
                text.push('\n');
            }
            (None, None) => {}
        }
        let waits: Vec<_> = graph
            .predecessors(step)
            .iter()
            .filter(|&&before| graph.parent(step) != Some(before))
            .map(|&before| key(before))
            .collect();
        if !waits.is_empty() {
            text += &format!("  after    {}\n", waits.join(", "));
        }
        if let Some(timeout) = node.timeout {
            text += &format!("  timeout  {timeout:?}\n");
        }
        if let Some(cache) = &node.cache {
            text += &format!("  cache    {}\n", clean_line(&cache.policy));
        }
        for (number, line) in node.command.lines().enumerate() {
            text += if number == 0 {
                "  run      "
            } else {
                "           "
            };
            text += &clean_line(line);
            text.push('\n');
        }
    }
    text
}
