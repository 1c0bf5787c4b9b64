//! `assess`: which deployment mode fits. It needs no server.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use gatehouse_domain::assessment::{
    Answers, Assessment, Choice, Difficulty, Mode, Recommendation, Words, assess, assess_leniently,
};
use gatehouse_domain::settings::lint::Language as Spoken;
use serde_json::{Map, Value};

use super::language::Language;
use super::table::{Align, Table, printable};
use super::{Failure, Out};
use crate::environment::Environment;

/// Longest file of answers that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Arguments of `assess`.
#[derive(clap::Args)]
pub(crate) struct AssessArgs {
    /// Answers as a JSON object, - for standard input; without it, they are asked for
    #[arg(
        long,
        value_name = "FILE",
        long_help = "Answers as a JSON object, - for standard input; without it, they are asked for. What is not \
            answered has its default: team_size 0, security_level low (medium, high, critical), \
            compliance_requirements [], compliance_level (none, basic, industry, strict; else what is known of the \
            requirements), cost_control low (medium, high, fine_grained), network_restrictions false, \
            existing_infrastructure []."
    )]
    answers: Option<PathBuf>,
    /// Decide for another mode than the score recommends
    #[arg(long, value_name = "MODE", value_parser = ["direct", "proxy", "gateway", "hybrid"], requires = "because")]
    choose: Option<String>,
    /// Why it was decided so
    #[arg(long, value_name = "REASON", requires = "choose")]
    because: Option<String>,
    /// Compute as leniently as the document does from which the rules come: unknown words count one point
    #[arg(long, requires = "answers", conflicts_with_all = ["choose", "because"])]
    compat: bool,
    /// Language of texts
    #[command(flatten)]
    language: Language,
}

/// Runs `assess`.
pub(crate) fn run(args: &AssessArgs, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    let language = args.language.wished(environment);
    let answers = match &args.answers {
        Some(file) => read(file)?,
        None => ask(language)?,
    };
    if args.compat {
        let recommendation =
            assess_leniently(&answers).map_err(|mistake| Failure::Usage(printable(&mistake.to_string())))?;
        return lenient(&recommendation, out);
    }
    let answers = Answers::read(&answers).map_err(|mistakes| {
        let told: Vec<_> =
            mistakes.iter().map(|mistake| format!("  {}", printable(&mistake.to_string()))).collect();
        Failure::Usage(format!("the answers are not as they must be:\n{}", told.join("\n")))
    })?;
    let assessment = assess(&answers, choice(args)?);
    if out.wants_json() {
        out.json(&serde_json::to_value(&assessment).map_err(anyhow::Error::from)?)?;
    } else {
        show(&assessment, language, out)?;
    }
    Ok(0)
}

fn choice(args: &AssessArgs) -> Result<Option<Choice>, Failure> {
    let (Some(mode), Some(reason)) = (args.choose.as_deref().and_then(Mode::of), &args.because) else {
        return Ok(None);
    };
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Failure::Usage("--because must say why".to_owned()));
    }
    Ok(Some(Choice { mode, reason: reason.to_owned() }))
}

/// Reads answers from a file, or from standard input.
pub(super) fn read(file: &Path) -> Result<Value, Failure> {
    let failed = |e: std::io::Error| Failure::Usage(format!("cannot read `{}`: {e}", file.display()));
    let mut text = String::new();
    let input: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    input.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Failure::Usage(format!("`{}` is larger than {MAX_FILE} bytes", file.display())));
    }
    serde_json::from_str(&text).map_err(|e| Failure::Usage(format!("`{}` is not JSON: {e}", file.display())))
}

const TERMINAL_WANTED: &str =
    "answers are asked for on a terminal only; give them with --answers FILE (- for standard input)";

/// Asks the questions one after the other, on standard error.
pub(super) fn ask(language: Spoken) -> Result<Value, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(TERMINAL_WANTED.to_owned()));
    }
    let mut answers = Map::new();
    for question in &QUESTIONS {
        while let Some(line) = prompt(question.text.of(language), question.default)? {
            match (question.read)(&line) {
                Some(value) => {
                    answers.insert(question.field.to_owned(), value);
                    let mistakes = Answers::read(&Value::Object(answers.clone())).err().unwrap_or_default();
                    if mistakes.is_empty() {
                        break;
                    }
                    answers.remove(question.field);
                    for mistake in mistakes {
                        super::output::complain(&printable(&mistake.to_string()));
                    }
                }
                None => super::output::complain(question.expects),
            }
        }
    }
    Ok(Value::Object(answers))
}

struct Question {
    field: &'static str,
    text: Words,
    default: &'static str,
    expects: &'static str,
    read: fn(&str) -> Option<Value>,
}

const QUESTIONS: [Question; 6] = [
    Question {
        field: "team_size",
        text: Words::new("How many people will use it?", "多少人使用？", "多少人使用？"),
        default: "0",
        expects: "a whole number",
        read: |line| line.parse::<i64>().ok().map(Value::from),
    },
    Question {
        field: "security_level",
        text: Words::new(
            "Security: low, medium, high or critical?",
            "安全要求：low（低）、medium（中）、high（高）、critical（极高）？",
            "安全要求：low（低）、medium（中）、high（高）、critical（極高）？",
        ),
        default: "low",
        expects: "low, medium, high or critical",
        read: |line| Some(Value::from(line)),
    },
    Question {
        field: "compliance_requirements",
        text: Words::new(
            "What must you comply with (such as SOC 2, HIPAA), separated by commas?",
            "需要符合哪些合规要求（如 SOC 2、等保三级），以逗号分隔？",
            "需要符合哪些合規要求（如 SOC 2、ISO 27001），以逗號分隔？",
        ),
        default: "",
        expects: "names, separated by commas",
        read: |line| Some(names(line)),
    },
    Question {
        field: "cost_control",
        text: Words::new(
            "Cost control: low, medium (watch), high (budgets) or fine_grained?",
            "成本控制：low（低）、medium（监控）、high（预算）、fine_grained（精细管理）？",
            "成本控制：low（低）、medium（監控）、high（預算）、fine_grained（精細管理）？",
        ),
        default: "low",
        expects: "low, medium, high or fine_grained",
        read: |line| Some(Value::from(line)),
    },
    Question {
        field: "network_restrictions",
        text: Words::new(
            "Does the network let only some connections out (yes or no)?",
            "网络是否限制外连（yes 或 no）？",
            "網路是否限制對外連線（yes 或 no）？",
        ),
        default: "no",
        expects: "yes or no",
        read: |line| match line {
            "yes" | "y" | "true" | "是" => Some(Value::from(true)),
            "no" | "n" | "false" | "否" => Some(Value::from(false)),
            _ => None,
        },
    },
    Question {
        field: "existing_infrastructure",
        text: Words::new(
            "What is there already (such as squid, Okta, Splunk), separated by commas?",
            "已有哪些基础设施（如 squid、LDAP、Splunk），以逗号分隔？",
            "已有哪些基礎設施（如 squid、LDAP、Splunk），以逗號分隔？",
        ),
        default: "",
        expects: "names, separated by commas",
        read: |line| Some(names(line)),
    },
];

fn names(line: &str) -> Value {
    line.split([',', '，', '、']).map(str::trim).filter(|name| !name.is_empty()).map(Value::from).collect()
}

/// One line of answer, the default if it is empty; nothing when the input ends.
fn prompt(text: &str, default: &str) -> Result<Option<String>, Failure> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let mut error = std::io::stderr();
    write!(error, "{text}{shown} ").and_then(|()| error.flush())?;
    let mut line = String::new();
    if std::io::stdin().lock().take(MAX_FILE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let line = line.trim();
    Ok(Some(if line.is_empty() { default.to_owned() } else { line.to_owned() }))
}

fn lenient(recommendation: &Recommendation, out: &mut Out) -> Result<u8, Failure> {
    if out.wants_json() {
        out.json(&serde_json::to_value(recommendation).map_err(anyhow::Error::from)?)?;
        return Ok(0);
    }
    out.line(format!("{} {}", recommendation.complexity_score, recommendation.mode.as_str()))?;
    out.line(recommendation.reason)?;
    for step in &recommendation.next_steps {
        out.line(format!("- {step}"))?;
    }
    Ok(0)
}

const SCORE: Words = Words::new("Score", "评分", "評分");
const AGREED: Words = Words::new(
    "Score and factors lead to the same mode.",
    "评分与各因素得出相同的模式。",
    "評分與各因素得出相同的模式。",
);
const DECIDE: Words = Words::new(
    "Decide, and keep the reason: --choose MODE --because REASON",
    "请作决定并记下理由：--choose MODE --because REASON",
    "請作決定並記下理由：--choose MODE --because REASON",
);
const CHOSEN: Words = Words::new("Decided", "已决定", "已決定");
const NEXT: Words = Words::new("Next", "下一步", "下一步");
const EFFORT: Words = Words::new("effort", "实施难度", "實施難度");
const OR: Words = Words::new(" or ", " 或 ", " 或 ");
const BECAUSE: Words = Words::new("there is", "已有", "已有");

/// Shows an assessment to people.
fn show(assessment: &Assessment, language: Spoken, out: &mut Out) -> Result<(), Failure> {
    let analysis = &assessment.analysis;
    let mode = assessment.recommendation.mode;
    let say = |words: Words| words.of(language);
    let total = assessment.recommendation.complexity_score;
    out.line(format!("{} {total}: {} ({})", say(SCORE), say(mode.name()), mode.as_str()))?;
    out.line(format!("{}\n", say(analysis.reason)))?;

    let mut table = Table::new(&[
        ("FACTOR", Align::Left),
        ("LEVEL", Align::Left),
        ("POINTS", Align::Right),
        ("ALONE", Align::Left),
    ]);
    let score = &analysis.score;
    let points = [score.team_size, score.security_level, score.compliance_requirements, score.cost_control];
    for (factor, points) in analysis.factors.iter().zip(points) {
        let modes: Vec<_> = factor.recommends.iter().map(|mode| say(mode.name())).collect();
        let cells = [say(factor.factor.name()), factor.level, &points.to_string(), &modes.join(say(OR))];
        table.row(cells.map(str::to_owned));
    }
    let network = Words::new("network restrictions", "网络限制", "網路限制");
    let restricted = if score.network_restrictions > 0 { "yes" } else { "no" };
    table.row([say(network), restricted, &score.network_restrictions.to_string(), "-"].map(str::to_owned));
    out.table(&table, "")?;
    out.line("")?;

    match (&analysis.disagreement, &analysis.choice) {
        (None, None) => out.line(say(AGREED))?,
        (Some(differ), None) => {
            out.line(match language {
                Spoken::English => &differ.en,
                Spoken::SimplifiedChinese => &differ.zh_cn,
                Spoken::TraditionalChinese => &differ.zh_tw,
            })?;
            out.line(say(DECIDE))?;
        }
        (_, Some(choice)) => {
            out.line(format!(
                "{}: {} - {}",
                say(CHOSEN),
                say(choice.mode.name()),
                printable(&choice.reason)
            ))?;
        }
    }
    for note in &analysis.notes {
        out.line(format!("* {}", say(*note)))?;
    }
    show_tasks(assessment, language, out)
}

fn show_tasks(assessment: &Assessment, language: Spoken, out: &mut Out) -> Result<(), Failure> {
    let say = |words: Words| words.of(language);
    let analysis = &assessment.analysis;
    let mode = analysis.choice.as_ref().map_or(assessment.recommendation.mode, |choice| choice.mode);
    let effort = say(Difficulty::of(mode));
    out.line(format!("\n{}: {} ({}: {effort})", say(NEXT), say(mode.name()), say(EFFORT)))?;
    for (i, task) in analysis.tasks.iter().enumerate() {
        let because = task
            .because
            .as_ref()
            .map(|name| format!(" ({} {})", say(BECAUSE), printable(name)))
            .unwrap_or_default();
        out.line(format!("  {}. {}{because}", i + 1, say(task.step.text)))?;
    }
    Ok(())
}
