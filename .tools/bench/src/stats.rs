//! Medians and how far the samples lie apart: all statistics of the benchmark, on top of `statrs`.

use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

/// One figure: the median of its samples and the range in which the middle four fifths of them lie.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// Half of the samples are below.
    pub median: f64,
    /// A tenth of the samples are below.
    pub low: f64,
    /// A tenth of the samples are above.
    pub high: f64,
    /// How many samples there were.
    pub samples: usize,
}

/// Summarises samples; `None` when there are none.
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

/// Summarises the ratio of two programs round by round: what disturbs a whole round falls out of it.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Summary> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(o, t)| o / t).collect();
    summary(&ratios)
}
