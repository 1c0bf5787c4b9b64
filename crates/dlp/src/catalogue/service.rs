//! Services: payment, mail, messages, work.

use super::{begins, within};
use crate::check::{random, random_start};
use crate::detector::Detector;

pub(crate) const ALL: &[Detector] = &[
    begins(
        "slack-token",
        "a Slack token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.xox", "xapp-"],
        (
            r"(?:xox[abprse]-[0-9]{9,14}-[0-9A-Za-z-]{20,120}|xoxe(?:\.xox[bp])?-[0-9]-[0-9A-Za-z]{100,200}|xapp-[0-9]-A[0-9A-Z]{8,12}-[0-9]{9,14}-[0-9a-f]{64})",
            220,
        ),
        random_start,
    ),
    begins(
        "slack-webhook",
        "the address of a Slack webhook",
        &["hooks.slack.com/"],
        (
            r"hooks\.slack\.com/(?:services|workflows|triggers)/[TE][0-9A-Z]{8,12}/[0-9A-Z]{8,20}/([0-9A-Za-z]{24,32})",
            110,
        ),
        random,
    ),
    begins(
        "discord-webhook",
        "the address of a Discord webhook",
        &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"],
        (r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/([0-9A-Za-z_-]{60,72})", 130),
        random,
    ),
    begins(
        "stripe-key",
        "a Stripe live key",
        &["sk_live_", "rk_live_"],
        (r"[sr]k_live_[0-9A-Za-z]{24,}", 256),
        random_start,
    ),
    begins(
        "stripe-webhook-secret",
        "a Stripe webhook secret",
        &["whsec_"],
        (r"whsec_[0-9A-Za-z+/]{32,64}", 71),
        random,
    ),
    begins(
        "square-token",
        "a Square token",
        &["sq0atp-", "sq0csp-"],
        (r"sq0(?:atp-[0-9A-Za-z_-]{22}|csp-[0-9A-Za-z_-]{43})", 50),
        random,
    ),
    begins(
        "shopify-token",
        "a Shopify token",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        (r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", 38),
        random,
    ),
    begins(
        "sendgrid-key",
        "a SendGrid key",
        &["SG."],
        (r"SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}", 69),
        random,
    ),
    // Its form is that of many other things, so it must be named beside it.
    begins(
        "twilio-key",
        "a Twilio token",
        &["twilio", "TWILIO", "Twilio"],
        (r#"(?i:twilio)[A-Za-z0-9_.-]{0,32}["']?\s{0,4}(?:=>|:=|=|:)\s{0,4}["']?((?:SK)?[0-9a-f]{32})"#, 90),
        random,
    ),
    begins("brevo-key", "a Brevo key", &["xkeysib-"], (r"xkeysib-[0-9a-f]{64}-[0-9A-Za-z]{16}", 89), random),
    within(
        "telegram-bot-token",
        "a Telegram bot's token",
        &[":AA"],
        (r"[0-9]{8,10}:AA[0-9A-Za-z_-]{33}", 10, 36),
        random,
    ),
    begins(
        "atlassian-token",
        "an Atlassian token",
        &["ATATT3", "ATCTT3"],
        (r"AT[AC]TT3[0-9A-Za-z_=-]{60,}", 256),
        random_start,
    ),
    begins("linear-key", "a Linear key", &["lin_api_"], (r"lin_api_[0-9A-Za-z]{40}", 48), random),
    begins("notion-token", "a Notion token", &["ntn_"], (r"ntn_[0-9]{11}[0-9A-Za-z]{35}", 50), random),
    begins("figma-token", "a Figma token", &["figd_"], (r"figd_[0-9A-Za-z_-]{40}", 45), random),
    begins("postman-key", "a Postman key", &["PMAK-"], (r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", 64), random),
    begins(
        "grafana-token",
        "a Grafana token",
        &["glsa_"],
        (r"glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8}", 46),
        random,
    ),
    begins("newrelic-key", "a New Relic key", &["NRAK-"], (r"NRAK-[0-9A-Z]{27}", 32), random),
    begins(
        "dynatrace-token",
        "a Dynatrace token",
        &["dt0c01.", "dt0s01."],
        (r"dt0[cs]01\.[0-9A-Z]{24}\.[0-9A-Z]{64}", 96),
        random,
    ),
    begins("sentry-token", "a Sentry token", &["sntryu_"], (r"sntryu_[0-9a-f]{64}", 71), random),
    begins(
        "doppler-token",
        "a Doppler token",
        &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa."],
        (r"dp\.(?:[pc]t|sa|st(?:\.[a-z0-9_-]{2,35})?)\.[0-9A-Za-z]{40,44}", 90),
        random_start,
    ),
];
