//! The texts of `onboarding`, in three languages.

use gatehouse_domain::settings::lint::Language;

/// The texts of one language.
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) mode: &'static str,
    pub(super) install: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) no_key: &'static str,
    pub(super) gatehouse_key: &'static str,
    pub(super) gatehouse_key_telemetry: &'static str,
    pub(super) provider_key: &'static str,
    pub(super) keep_secret: &'static str,
    pub(super) claims: &'static str,
    pub(super) proxy_ca: &'static str,
    pub(super) inspection_ca: &'static str,
    pub(super) inspected: &'static str,
    pub(super) proxy_sign_in: &'static str,
    pub(super) no_proxy_url: &'static str,
    pub(super) set: &'static str,
    pub(super) settings: &'static str,
    pub(super) run_test: &'static str,
    pub(super) test: &'static str,
}

pub(super) const fn words(language: Language) -> &'static Words {
    match language {
        Language::English => &ENGLISH,
        Language::SimplifiedChinese => &SIMPLIFIED,
        Language::TraditionalChinese => &TRADITIONAL,
    }
}

const ENGLISH: Words = Words {
    title: "How to begin, for",
    mode: "mode",
    install: "Install Claude Code: npm install -g @anthropic-ai/claude-code",
    sign_in: "Start `claude`, choose the gateway with /login, and confirm the code on the page that it shows:",
    no_key: "You need no key. The client keeps its sign-in and renews it; your settings come from the gateway.",
    gatehouse_key: "Ask your administrator for your Gatehouse key (gatehouse key create).",
    gatehouse_key_telemetry: "Ask your administrator for your Gatehouse key (gatehouse key create). It only carries telemetry.",
    provider_key: "Ask your administrator for your key of the provider.",
    keep_secret: "The keys are secrets: put them nowhere that others can read, and into no repository.",
    claims: "Your requests go to the provider without passing the gateway. What the client reports of its use and cost is sent to the gateway; the text of your prompts is not.",
    proxy_ca: "Have the certificate of the proxy's authority at",
    inspection_ca: "Add the certificate of the inspection authority to the file",
    inspected: "What you send to these hosts, prompts included, is decrypted and checked by your organization on its way:",
    proxy_sign_in: "Sign in once on this machine, so that the proxy knows you:",
    no_proxy_url: "The address of the forward proxy is not configured (mode.proxy_url). Ask your administrator for it.",
    set: "Add the variables below to",
    settings: "Add the settings below to",
    run_test: "Open a new terminal and run the test below.",
    test: "Test",
};

const SIMPLIFIED: Words = Words {
    title: "入门步骤：",
    mode: "模式",
    install: "安装 Claude Code：npm install -g @anthropic-ai/claude-code",
    sign_in: "运行 `claude`，用 /login 选择网关，并在打开的页面上确认代码：",
    no_key: "您不需要密钥。客户端会保存并自动续期登录；设置由网关下发。",
    gatehouse_key: "向管理员索取您的 Gatehouse 密钥（gatehouse key create）。",
    gatehouse_key_telemetry: "向管理员索取您的 Gatehouse 密钥（gatehouse key create）。它只用于上报遥测数据。",
    provider_key: "向管理员索取您的提供商密钥。",
    keep_secret: "密钥是机密：不要放在他人可以读取的地方，也不要提交到代码仓库。",
    claims: "您的请求直接发往提供商，不经过网关。客户端上报的用量和费用会发送到网关，提示词的文本不会发送。",
    proxy_ca: "将代理证书颁发机构的证书放在",
    inspection_ca: "将检查证书颁发机构的证书加入文件",
    inspected: "您发送到以下主机的内容（包括提示词）会在途中由您的组织解密并检查：",
    proxy_sign_in: "在本机登录一次，让代理能够识别您：",
    no_proxy_url: "尚未配置正向代理的地址（mode.proxy_url）。请向管理员询问。",
    set: "将下面的变量添加到",
    settings: "将下面的设置添加到",
    run_test: "打开新的终端，运行下面的测试。",
    test: "测试",
};

const TRADITIONAL: Words = Words {
    title: "入門步驟：",
    mode: "模式",
    install: "安裝 Claude Code：npm install -g @anthropic-ai/claude-code",
    sign_in: "執行 `claude`，用 /login 選擇閘道，並在開啟的頁面上確認代碼：",
    no_key: "您不需要金鑰。用戶端會儲存並自動更新登入；設定由閘道下發。",
    gatehouse_key: "向管理員索取您的 Gatehouse 金鑰（gatehouse key create）。",
    gatehouse_key_telemetry: "向管理員索取您的 Gatehouse 金鑰（gatehouse key create）。它只用於回報遙測資料。",
    provider_key: "向管理員索取您的供應商金鑰。",
    keep_secret: "金鑰是機密：不要放在他人可以讀取的地方，也不要提交到程式碼儲存庫。",
    claims: "您的請求直接送往供應商，不經過閘道。用戶端回報的用量與費用會送到閘道，提示詞的文字不會送出。",
    proxy_ca: "將代理憑證授權單位的憑證放在",
    inspection_ca: "將檢查憑證授權單位的憑證加入檔案",
    inspected: "您送往以下主機的內容（包括提示詞）會在途中由您的組織解密並檢查：",
    proxy_sign_in: "在本機登入一次，讓代理能夠識別您：",
    no_proxy_url: "尚未設定正向代理的位址（mode.proxy_url）。請向管理員詢問。",
    set: "將下面的變數加入",
    settings: "將下面的設定加入",
    run_test: "開啟新的終端機，執行下面的測試。",
    test: "測試",
};
