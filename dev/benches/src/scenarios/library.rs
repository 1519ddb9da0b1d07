//! The hot path in a library that was opened with `dlopen`, where the crate reads its key.

use crate::library::{rows, Row};
use crate::rounds::{time_once, Scenario};

/// The ids and titles, and the function of a row. One that is not there has no row.
type Kind = (&'static str, &'static str, fn(&Row) -> Option<extern "C" fn(u64)>);

const KINDS: [Kind; 4] = [
    ("dlopen/static/loop", "a static, in a loop", |row| Some(row.static_loop)),
    ("dlopen/static/call", "a static, each access in a call of its own", |row| {
        Some(row.static_call)
    }),
    ("dlopen/object/loop", "through an object, in a loop", |row| row.object_loop),
    ("dlopen/object/call", "through an object, each access in a call of its own", |row| {
        row.object_call
    }),
];

pub fn scenarios() -> Vec<Scenario> {
    let rows = rows();
    let of_kind = |(id, title, function): Kind| {
        let title = format!("in a library opened with `dlopen`: {title}");
        let mut scenario = Scenario::new(id, title, 1).reason(super::LIBRARY);
        for row in &rows {
            if let Some(function) = function(row) {
                function(1); // makes the value
                scenario.row(row.name(), move |iterations| time_once(|| function(iterations)));
            }
        }
        scenario
    };
    KINDS.into_iter().map(of_kind).filter(|scenario| !scenario.rows.is_empty()).collect()
}
