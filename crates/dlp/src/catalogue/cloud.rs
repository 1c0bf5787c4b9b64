//! Clouds and where code and images lie.

use super::{begins, within};
use crate::check::{github, random, random_start, upper};
use crate::detector::Detector;

pub(crate) const ALL: &[Detector] = &[
    begins(
        "aws-access-key",
        "an AWS access key",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        (r"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}", 20),
        upper,
    ),
    begins(
        "aws-secret-key",
        "an AWS secret access key",
        &[
            "aws_secret_access_key",
            "AWS_SECRET_ACCESS_KEY",
            "SecretAccessKey",
            "secretAccessKey",
            "aws_secret_key",
        ],
        (r#"[A-Za-z_]{14,21}["']?\s{0,4}(?:=>|:=|=|:)\s{0,4}["']?([A-Za-z0-9/+]{40})"#, 80),
        random,
    ),
    begins(
        "aws-bedrock-key",
        "an Amazon Bedrock API key",
        &["ABSK"],
        (r"ABSK[A-Za-z0-9+/]{109,}={0,2}", 280),
        random_start,
    ),
    begins("google-api-key", "a Google API key", &["AIza"], (r"AIza[0-9A-Za-z_-]{35}", 39), random),
    begins(
        "google-oauth-secret",
        "a Google OAuth client secret",
        &["GOCSPX-"],
        (r"GOCSPX-[0-9A-Za-z_-]{28}", 35),
        random,
    ),
    begins(
        "google-access-token",
        "a Google access token",
        &["ya29."],
        (r"ya29\.[0-9A-Za-z_-]{40,}", 1210),
        random_start,
    ),
    // The key's identifier stands only in such files; the key beside it is a private key as well.
    begins(
        "gcp-service-account-key",
        "a key file of a Google service account",
        &["private_key_id"],
        (r#"private_key_id\\?"\s{0,4}:\s{0,4}\\?"([0-9a-f]{40})"#, 80),
        random,
    ),
    begins(
        "azure-storage-key",
        "an Azure storage account key",
        &["AccountKey="],
        (r"AccountKey=([A-Za-z0-9+/]{86}==)", 110),
        random,
    ),
    within(
        "azure-client-secret",
        "a Microsoft Entra client secret",
        &["Q~"],
        (r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", 4, 36),
        random,
    ),
    within(
        "azure-devops-token",
        "an Azure DevOps token",
        &["AZDO"],
        (r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", 76, 8),
        random,
    ),
    begins(
        "alibaba-access-key",
        "an Alibaba Cloud access key",
        &["LTAI"],
        (r"LTAI[0-9A-Za-z]{12,26}", 30),
        random,
    ),
    begins("tencent-secret-id", "a Tencent Cloud secret id", &["AKID"], (r"AKID[0-9A-Za-z]{32}", 36), random),
    begins(
        "digitalocean-token",
        "a DigitalOcean token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        (r"do[opr]_v1_[0-9a-f]{64}", 71),
        random,
    ),
    // Its last six characters are the CRC-32 of the thirty before them, in base 62.
    begins(
        "github-token",
        "a GitHub token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        (r"gh[pousr]_[0-9A-Za-z]{36}", 40),
        github,
    ),
    begins(
        "github-fine-grained-token",
        "a GitHub token",
        &["github_pat_"],
        (r"github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}", 93),
        random,
    ),
    begins(
        "gitlab-token",
        "a GitLab token",
        &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "glsoat-", "glimt-", "glagent-"],
        (r"gl[a-z]{2,5}-[0-9A-Za-z_-]{20,}(?:\.[0-9a-z]{2}\.?[0-9a-z]{7,9})?", 325),
        random_start,
    ),
    begins("npm-token", "an npm token", &["npm_"], (r"npm_[0-9A-Za-z]{36}", 40), random),
    // What is behind the prefix is a macaroon, which begins with the place that it is for.
    begins(
        "pypi-token",
        "a PyPI token",
        &["pypi-AgE"],
        (r"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZ)[0-9A-Za-z_-]{50,}", 430),
        random_start,
    ),
    begins("rubygems-key", "a RubyGems key", &["rubygems_"], (r"rubygems_[0-9a-f]{48}", 57), random),
    begins(
        "docker-token",
        "a Docker access token",
        &["dckr_pat_", "dckr_oat_"],
        (r"dckr_[po]at_[0-9A-Za-z_-]{27,32}", 41),
        random,
    ),
    begins(
        "vault-token",
        "a Vault token",
        &["hvs.", "hvb.", "hvr."],
        (r"hv[sbr]\.[0-9A-Za-z_-]{24,}", 305),
        random_start,
    ),
    within(
        "terraform-token",
        "a Terraform token",
        &[".atlasv1."],
        (r"[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_-]{60,70}", 14, 80),
        random_start,
    ),
    begins("heroku-key", "a Heroku key", &["HRKU-"], (r"HRKU-AA[0-9A-Za-z_-]{58}", 65), random),
    begins("netlify-token", "a Netlify token", &["nfp_"], (r"nfp_[0-9A-Za-z]{36}", 40), random),
    begins("supabase-token", "a Supabase token", &["sbp_"], (r"sbp_[0-9a-f]{40}", 44), random),
    begins(
        "planetscale-token",
        "a PlanetScale token or password",
        &["pscale_"],
        (r"pscale_(?:tkn|pw|oauth)_[0-9A-Za-z_.-]{31,63}[0-9A-Za-z_-]", 80),
        random_start,
    ),
];
