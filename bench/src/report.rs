//! What was measured, and what it is worth: figures with their spread, beside what has to hold; printed, and as JSON.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::stats::median;

/// Figures of one subject, one a round.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// One a round.
    pub figures: Vec<f64>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// A rate.
    Higher,
    /// A time, or a size.
    Lower,
}

/// What has to hold (`floor`), what is aimed at (`goal`), and which way.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Has to hold.
    pub floor: f64,
    /// Is aimed at.
    pub goal: f64,
    /// Which way is better.
    pub better: Better,
}

impl Target {
    /// At least so much.
    pub fn at_least(floor: f64, goal: f64) -> Self {
        Self { floor, goal, better: Better::Higher }
    }

    /// At most so much.
    pub fn at_most(floor: f64, goal: f64) -> Self {
        Self { floor, goal, better: Better::Lower }
    }

    fn met(self, value: f64, bound: f64) -> bool {
        match self.better {
            Better::Higher => value >= bound,
            Better::Lower => value <= bound,
        }
    }
}

/// A figure that was held against its target.
#[derive(Debug, Clone)]
pub struct Judgement {
    text: String,
    value: f64,
    target: Target,
    /// Why it says nothing, where it does not.
    void: Option<String>,
}

impl Judgement {
    /// In one word or two.
    pub fn verdict(&self) -> &'static str {
        if self.void.is_some() {
            "NOT JUDGED"
        } else if !self.target.met(self.value, self.target.floor) {
            "FALLS SHORT"
        } else if self.target.met(self.value, self.target.goal) {
            "reaches the goal"
        } else {
            "holds"
        }
    }
}

/// One figure of several subjects.
#[derive(Debug, Clone)]
pub struct Row {
    scenario: String,
    figure: String,
    unit: &'static str,
    series: Vec<Series>,
    judgements: Vec<Judgement>,
}

impl Row {
    /// A row without figures yet.
    pub fn new(scenario: &str, figure: impl Into<String>, unit: &'static str) -> Self {
        let figure = figure.into();
        Self { scenario: scenario.to_owned(), figure, unit, series: Vec::new(), judgements: Vec::new() }
    }

    /// One more figure of a subject.
    pub fn add(&mut self, name: &str, figure: f64) {
        match self.series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.figures.push(figure),
            None => self.series.push(Series { name: name.to_owned(), figures: vec![figure] }),
        }
    }

    fn figures(&self, name: &str) -> &[f64] {
        self.series.iter().find(|series| series.name == name).map_or(&[], |series| &series.figures)
    }

    /// A subject's median.
    pub fn median(&self, name: &str) -> f64 {
        median(self.figures(name))
    }

    /// Holds a subject's median against the target.
    #[must_use]
    pub fn judge(mut self, name: &str, target: Target) -> Self {
        let value = self.median(name);
        let text = format!("{name}: {} {}", number(value), self.unit);
        self.judgements.push(Judgement { text, value, target, void: None });
        self
    }

    /// Holds the median of the rounds' ratios against the target.
    #[must_use]
    pub fn judge_ratio(mut self, name: &str, reference: &str, target: Target) -> Self {
        let pairs = self.figures(name).iter().zip(self.figures(reference));
        let value = median(&pairs.map(|(one, other)| one / other).collect::<Vec<_>>());
        let text = format!("{name}: {value:.2} x {reference}");
        self.judgements.push(Judgement { text, value, target, void: None });
        self
    }

    /// Holds a subject's median against so many times the reference's, and something on top that both may have.
    #[must_use]
    pub fn judge_over(mut self, name: &str, reference: &str, target: Target, allowed: f64) -> Self {
        let base = self.median(reference);
        let over = |times: f64| times * base + allowed;
        let value = self.median(name);
        let text = format!(
            "{name}: {} {} against {} x {reference} + {}",
            number(value),
            self.unit,
            target.floor,
            number(allowed)
        );
        let target = Target { floor: over(target.floor), goal: over(target.goal), better: target.better };
        self.judgements.push(Judgement { text, value, target, void: None });
        self
    }

    /// Says why the last judgement of this row means nothing.
    #[must_use]
    pub fn void_last(mut self, why: String) -> Self {
        if let Some(last) = self.judgements.last_mut() {
            last.void = Some(why);
        }
        self
    }

    /// Says why the judgements of this row mean nothing.
    #[must_use]
    pub fn void(mut self, why: &str) -> Self {
        self.judgements.iter_mut().for_each(|one| one.void = Some(why.to_owned()));
        self
    }

    fn print(&self) {
        println!("{} - {}, {}", self.scenario, self.figure, self.unit);
        for series in &self.series {
            let low = series.figures.iter().copied().fold(f64::INFINITY, f64::min);
            let high = series.figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            println!(
                "    {:<26} {:>14}   {} rounds, {} to {}",
                series.name,
                number(median(&series.figures)),
                series.figures.len(),
                number(low),
                number(high)
            );
        }
        for judgement in &self.judgements {
            println!("    -> {}", judged(judgement));
        }
    }

    fn json(&self) -> Value {
        let series: Vec<Value> = self
            .series
            .iter()
            .map(|one| json!({"name": one.name, "median": median(&one.figures), "rounds": one.figures}))
            .collect();
        let judgements: Vec<Value> = self
            .judgements
            .iter()
            .map(|one| {
                let (floor, goal) = (one.target.floor, one.target.goal);
                json!({"what": one.text, "value": one.value, "floor": floor, "goal": goal, "verdict": one.verdict(), "void": one.void})
            })
            .collect();
        json!({
            "scenario": self.scenario,
            "figure": self.figure,
            "unit": self.unit,
            "series": series,
            "judgements": judgements,
        })
    }
}

fn judged(judgement: &Judgement) -> String {
    let (floor, goal) = (number(judgement.target.floor), number(judgement.target.goal));
    let why = judgement.void.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
    format!("{} (floor {floor}, goal {goal}): {}{why}", judgement.text, judgement.verdict())
}

/// A number as it is read: three places that mean something, thousands apart.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Everything that one run measured.
#[derive(Debug, Default)]
pub struct Report {
    json: Option<PathBuf>,
    judged: Vec<String>,
    missing: Vec<String>,
}

impl Report {
    /// Prints, and adds a line of JSON for each row to this file.
    pub fn new(json: Option<PathBuf>) -> Self {
        Self { json, ..Self::default() }
    }

    /// Takes one row.
    pub fn row(&mut self, row: &Row) -> Result<()> {
        row.print();
        let judged = row.judgements.iter().map(|one| format!("{:<14} {}", row.scenario, judged(one)));
        self.judged.extend(judged);
        let Some(path) = &self.json else { return Ok(()) };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.with_context(|| path.display().to_string())?;
        writeln!(file, "{}", row.json()).context("the results")
    }

    /// Something that could not be measured.
    pub fn missing(&mut self, scenario: &str, why: &str) {
        println!("{scenario} - not measured: {why}");
        self.missing.push(format!("{scenario:<14} not measured: {why}"));
    }

    /// The judgements once more, together. Whether everything that was asked for could be measured.
    pub fn end(&self) -> bool {
        println!("\njudgement");
        for line in self.judged.iter().chain(&self.missing) {
            println!("    {line}");
        }
        self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(figures: &[(f64, f64)], target: Target) -> &'static str {
        let mut row = Row::new("s", "f", "/s");
        for (one, other) in figures {
            row.add("a", *one);
            row.add("b", *other);
        }
        row.judge_ratio("a", "b", target).judgements[0].verdict()
    }

    #[test]
    fn a_ratio_is_the_median_of_its_rounds() {
        let rounds = [(80.0, 100.0), (10.0, 100.0), (300.0, 200.0)];
        assert_eq!(verdict(&rounds, Target::at_least(0.8, 1.4)), "holds");
        assert_eq!(verdict(&rounds, Target::at_least(0.9, 1.4)), "FALLS SHORT");
        assert_eq!(verdict(&rounds, Target::at_most(1.0, 0.8)), "reaches the goal");
    }

    #[test]
    fn what_is_allowed_on_top_counts_once() {
        let mut row = Row::new("s", "f", "us");
        row.add("a", 1400.0);
        row.add("b", 1000.0);
        let over = |allowed| {
            row.clone().judge_over("a", "b", Target::at_most(1.3, 1.0), allowed).judgements[0].verdict()
        };
        assert_eq!((over(0.0), over(100.0), over(400.0)), ("FALLS SHORT", "holds", "reaches the goal"));
    }

    #[test]
    fn numbers_are_read_with_ease() {
        assert_eq!(
            [0.5, 99.99, 1234567.0, -1234.0, f64::NAN].map(number),
            ["0.50", "99.99", "1,234,567", "-1,234", "-"]
        );
    }
}
