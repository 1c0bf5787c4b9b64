//! Providers of models and what stands around them.

use super::{begins, within};
use crate::check::{random, random_start};
use crate::detector::Detector;

pub(crate) const ALL: &[Detector] = &[
    begins(
        "anthropic-key",
        "an Anthropic key or token",
        &["sk-ant-"],
        (r"sk-ant-[a-z]{3,5}[0-9]{2}-[0-9A-Za-z_-]{80,120}", 140),
        random_start,
    ),
    // The letters in the middle are in every key.
    within(
        "openai-key",
        "an OpenAI key",
        &["T3BlbkFJ"],
        (r"sk-(?:proj-|svcacct-|admin-)?[0-9A-Za-z_-]{20,80}T3BlbkFJ[0-9A-Za-z_-]{20,80}", 92, 88),
        random_start,
    ),
    begins(
        "huggingface-token",
        "a Hugging Face token",
        &["hf_", "api_org_"],
        (r"(?:hf|api_org)_[A-Za-z]{34}", 42),
        random,
    ),
    begins("groq-key", "a Groq key", &["gsk_"], (r"gsk_[0-9A-Za-z]{52}", 56), random),
    begins("xai-key", "an xAI key", &["xai-"], (r"xai-[0-9A-Za-z]{80}", 84), random),
    begins("perplexity-key", "a Perplexity key", &["pplx-"], (r"pplx-[0-9A-Za-z]{48}", 53), random),
    begins("openrouter-key", "an OpenRouter key", &["sk-or-v1-"], (r"sk-or-v1-[0-9a-f]{64}", 73), random),
    begins("replicate-token", "a Replicate token", &["r8_"], (r"r8_[0-9A-Za-z]{37}", 40), random),
    begins(
        "langsmith-key",
        "a LangSmith key",
        &["lsv2_"],
        (r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", 51),
        random,
    ),
    begins(
        "databricks-token",
        "a Databricks token",
        &["dapi"],
        (r"dapi[0-9a-f]{32}(?:-[0-9]{1,2})?", 39),
        random,
    ),
];
