//! The figures that stand for many samples.

/// The quartiles of some samples. The median is the figure, the others are its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
}

impl Quartiles {
    /// `None` if there are no samples.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Quartiles> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        // Interpolated between the two samples beside the quantile's place.
        let at = |quantile: f64| {
            let place = quantile * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            // Not computed from equal ones: both may be infinite.
            if low == high || place.fract() == 0.0 {
                low
            } else {
                low + (high - low) * place.fract()
            }
        };
        Some(Quartiles { q1: at(0.25), median: at(0.5), q3: at(0.75) })
    }

    /// The distance of the quartiles, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.q3 - self.q1) / self.median
    }

    /// Whether half of the samples lie on either side of `value`, so that the median does not show on which side it is.
    pub fn contains(&self, value: f64) -> bool {
        self.q1 <= value && value <= self.q3
    }
}

/// The mean of the middle half: as robust as the median, and finer than the clock, whose unit is a large part of the
/// duration of one operation.
pub fn middle_mean(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let quarter = samples.len() / 4;
    let middle = &samples[quarter..samples.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// Nanoseconds with a unit a person would choose.
pub fn human(nanoseconds: f64) -> String {
    let (number, unit) = match nanoseconds.abs() {
        n if n < 999.5 => (nanoseconds, "ns"),
        n if n < 999_500.0 => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds / 1e6, "ms"),
    };
    match number.abs() {
        n if n < 9.995 => format!("{number:.2} {unit}"),
        n if n < 99.95 => format!("{number:.1} {unit}"),
        _ => format!("{number:.0} {unit}"),
    }
}
