// Every sentence of the pages, in Simplified Chinese.
import { catalogue } from '../../errors/catalogue.ts';
import { chineseFailures } from './chinese-failures.ts';
import { english, type Texts } from './english.ts';

/** Next steps that an error gives instead of its row's. */
const otherSteps: Readonly<Record<string, string>> = {
  'Put a new refresh token into refreshToken and restart.': '请在 refreshToken 中放入新的刷新令牌，然后重新启动。',
};

export const chinese: Texts = {
  language: 'zh-Hans',
  product: english.product,
  home: '状态',
  version: english.version,
  skip: '跳到内容',
  unknown: '未知',

  status: {
    title: '凭据',
    summary: (usable, all) =>
      usable === all
        ? all === 1
          ? '凭据有可用的令牌。'
          : `全部 ${all} 个凭据都有可用的令牌。`
        : `${all} 个凭据中有 ${usable} 个有可用的令牌。`,
    none: '没有配置任何凭据。',
    refreshes: '此页面每 5 秒自动更新。',
    stopRefreshing: '停止更新',
    live: '此页面实时更新。',
    lost: '与 Sidebearer 的连接已断开。恢复后此页面会自动继续。',
    stands: '此页面不会自动更新。',
    goOnRefreshing: '每 5 秒更新',
    notices: '通知',
    provider: { codex: 'Codex', oidc: 'OpenID Connect', oauth2: 'OAuth 2.0', file: '令牌文件' },
    grant: {
      authorization_code: '登录',
      refresh_token: '刷新令牌',
      client_credentials: '客户端凭证',
      device_code: '在其他设备上登录',
      token_exchange: '令牌交换',
      jwt_bearer: '签名断言',
      file: '由其他程序写入',
    },
    state: {
      absent: '还没有令牌',
      dead: '需要登录',
      cooling: '失败后等待中',
      refreshing: '正在刷新',
      refused: '被上游拒绝',
      due: '应当刷新',
      fresh: '就绪',
    },
    deadWithoutLogin: '需要新的刷新令牌',
    account: '账号',
    plan: '套餐',
    accountId: '账号 ID',
    token: '令牌',
    noToken: '无',
    tokenUntil: '过期时间：',
    tokenSince: '已过期：',
    tokenUnknown: '有效，过期时间未告知',
    nextRefresh: '下次刷新',
    lastRefresh: '上次刷新',
    cooling: '再次尝试',
    resting: '达到限额，暂停使用至',
    quota: '已用配额',
    grantEnds: '登录结束',
    waiting: '等待中的请求',
    breaker: '令牌端点',
    breakerState: {
      open: '失败次数太多，暂时不再访问',
      half_open: '失败次数太多之后，正在重新尝试',
    },
    dirtyTitle: '最新的令牌尚未保存',
    dirty: '它正在使用中，每秒重试保存。在保存成功之前重启可能需要重新登录。',
    lastError: '最近一次失败',
    failedAt: '失败于',
    blocked: '在有人登录之前，使用此凭据的请求都会失败。',
    blockedSoon: '它的令牌目前仍然有效。令牌过期后，在有人登录之前，请求都会失败。',
    configuration: '配置',
    configurationRead: '读取于',
    refusedTitle: '更改后的配置被拒绝',
    refusedLead: '文件中有错误，因此其中任何内容都未生效；之前的配置继续有效。',
    refusedAt: '拒绝于',
    moreMistakes: (count) => `另有 ${count} 处错误；日志中有全部内容。`,
    place: (line, column) => (column === undefined ? `第 ${line} 行` : `第 ${line} 行第 ${column} 列`),
    logIn: (name) => `登录 ${name}`,
    logInAgain: (name) => `重新登录 ${name}`,
  },

  actions: {
    device: '在其他设备上登录',
    refresh: '立即刷新',
    resume: '恢复',
    logout: (name) => `登出 ${name}…`,
    logoutQuestion: '令牌会在提供方吊销，并在这里和每个副本中删除。此后请求会失败，直到有人重新登录。',
    logoutNow: '立即登出',
  },

  result: {
    refreshed: '令牌已刷新。',
    adopted: '另一个副本已经刷新了令牌；这里已在使用。',
    superseded: '其间有一次登录；正在使用它的令牌。',
    refreshing: '刷新用时比平时长，仍在继续。',
    resumed: '暂停已结束，应做的事正在尝试。',
    not_paused: '没有任何暂停。',
    logged_out: '已登出：令牌已在提供方吊销，并在这里删除。',
    logged_out_here: '已在这里登出。提供方无法吊销令牌：它们在那里可能仍然有效。',
    nothing_to_log_out: '没有可登出的。',
  },

  paste: {
    title: '浏览器停在了无法访问的页面？',
    hint: '那是登录的最后一步，只是该地址从这里无法到达。请从地址栏复制它，并粘贴在开始登录的浏览器中。',
    label: '地址',
    go: '完成登录',
  },

  device: {
    startTitle: (name) => `在其他设备上登录 ${name}`,
    lead: '无需转发任何端口：最适合在集群中使用。',
    step1: 'Sidebearer 向提供方请求一个短代码，并显示在这里。',
    step2: '你在任意设备上打开提供方的页面，输入代码，并在那里登录。',
    step3: '此页面会察觉，并向你显示结果。',
    begin: '获取代码',
    title: (name) => `登录 ${name}`,
    type: '请在此处输入代码：',
    copy: '复制代码',
    copied: '已复制',
    qr: '在另一台设备上打开的地址的二维码',
    warning: '只有这次登录是你自己开始的，才继续。给你发来代码要你输入的人，是想把你的账号用于他的 Sidecar。',
    expires: '代码过期时间：',
    waiting: '正在等待你确认。',
    cancel: '取消',
  },

  start: {
    title: (name) => `登录 ${name}`,
    lead: '登录只有三步，不到一分钟。',
    step1: (where) => `你前往 ${where} 并在那里登录。密码只留在那里。`,
    step2: '它把这个浏览器送回',
    step3: 'Sidebearer 取得令牌，保存它，并向你显示结果。令牌不会经过这个浏览器。',
    go: (where) => `继续前往 ${where}`,
    time: '你有 30 分钟来完成。',
    stored: '现在保存的是',
    unknownAccount: '一个未知的账号',
    replace: '替换账号',
    replaceHint: '不勾选时，只接受现在所保存账号的登录。',
    portTitle: '这个浏览器会被送回另一个端口',
    port: (used, registered) =>
      `你在端口 ${used} 打开了此页面，但提供方会把浏览器送到端口 ${registered}。请先转发那个端口，再在那里打开此页面：`,
    portLink: '在正确的端口打开此页面',
    nameTitle: '这个浏览器会被送回另一个名称',
    name: (used, registered) =>
      `你以 ${used} 打开了此页面，但提供方会把浏览器送到 ${registered}，而这次登录的 Cookie 不在两者之间共享。请在那里打开此页面。`,
    choose: '哪个凭据？',
    chooseLead: '请选择要登录的凭据。',
    nothingTitle: '没有可登录的',
    nothing: '没有任何已配置的凭据是通过登录获得的。',
  },

  success: {
    title: '你已登录',
    lead: (name) => `${name} 有了新的令牌。可以关闭此页面。`,
    storedIn: '保存在',
    warning: '有一件事需要知道',
    toStatus: '查看所有凭据',
    countdown: '即将打开状态页，还有',
    stay: '留在此页',
  },

  failure: {
    next: '怎么办',
    details: '详情',
    code: '错误码',
    status: 'HTTP 状态',
    credential: '凭据',
    providerCode: '提供方的错误码',
    providerStatus: '提供方的 HTTP 状态',
    description: '提供方说',
    systemCode: '系统错误码',
    again: '重试',
    toStatus: '前往状态页',
  },

  cancel: english.cancel,

  error: {
    message: (code) => chineseFailures[code]?.[0] ?? catalogue[code].message,
    next: (code, next) => (next === catalogue[code].next ? chineseFailures[code]?.[1] : otherSteps[next]) ?? next,
  },

  time: {
    now: '现在',
    in: (span) => `${span}后`,
    ago: (span) => `${span}前`,
    units: { day: '天', hour: '小时', minute: '分钟', second: '秒' },
  },
};
