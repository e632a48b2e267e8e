//! The statistics of the benchmark: medians and ranges, with `statrs`.

use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

/// One figure: the median of its samples and the range of the middle four fifths of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// One tenth of the samples is below this value.
    pub low: f64,
    /// One tenth of the samples is above this value.
    pub high: f64,
    /// The number of samples.
    pub samples: usize,
}

/// Summarises samples; `None` if there are none.
pub fn summary(samples: &[f64]) -> Option<Summary> {
    if samples.is_empty() {
        return None;
    }
    let mut data = Data::new(samples.to_vec());
    Some(Summary {
        median: data.median(),
        low: data.quantile(0.1),
        high: data.quantile(0.9),
        samples: samples.len(),
    })
}

/// Summarises the ratios of two programs, round by round. A disturbance of a whole round affects both figures, and hardly
/// the ratio.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Summary> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(o, t)| o / t).collect();
    summary(&ratios)
}
