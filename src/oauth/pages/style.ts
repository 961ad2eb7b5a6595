// The one style sheet, inline: no asset is fetched. Its hash is what the content security policy admits.
import { createHash } from 'node:crypto';

export const style = `
:root{color-scheme:light dark;--page:#f4f5f8;--card:#fff;--line:#dfe3ea;--text:#171c26;--soft:#55607a;
--accent:#2a55d4;--on-accent:#fff;--good:#0b6b3a;--good-bg:#e2f5ea;--busy:#1d4fc4;--busy-bg:#e5edff;
--warn:#7d4c00;--warn-bg:#fdf0d8;--bad:#a81e1e;--bad-bg:#fde8e7;--calm:#49536a;--calm-bg:#eaedf3;
--shadow:0 1px 2px rgb(20 30 60/6%),0 4px 16px rgb(20 30 60/5%)}
@media (prefers-color-scheme:dark){:root{--page:#0e1117;--card:#171b24;--line:#2a3140;--text:#e8ebf2;--soft:#a3adc0;
--accent:#8fadff;--on-accent:#0b1533;--good:#6fdc9e;--good-bg:#12301f;--busy:#9dbbff;--busy-bg:#17264d;
--warn:#f5c063;--warn-bg:#3a2a0c;--bad:#ff9c95;--bad-bg:#43191a;--calm:#b6bfd0;--calm-bg:#262d3b;--shadow:none}}
*,::before,::after{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
-webkit-text-size-adjust:100%;overflow-wrap:anywhere}
a{color:var(--accent);text-underline-offset:.2em}
:focus-visible{outline:3px solid var(--accent);outline-offset:3px;border-radius:4px}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
.skip{position:absolute;left:-999rem;padding:.5rem 1rem;background:var(--card)}
.skip:focus{left:1rem;top:1rem}
header,main,footer{max-width:46rem;margin:0 auto;padding-inline:1.25rem}
header{display:flex;align-items:center;gap:.6rem;padding-block:1.25rem .25rem}
header a{display:flex;align-items:center;gap:.6rem;color:inherit;text-decoration:none;font-weight:650}
header svg{width:1.75rem;height:1.75rem}
main{padding-block:1rem 1.5rem}
footer{padding-block:.25rem 2.5rem;color:var(--soft);font-size:.85rem}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.015em;margin:.5rem 0 .4rem}
h2{font-size:1.15rem;line-height:1.3;margin:0}
h3{font-size:1rem;margin:0 0 .2rem}
p{margin:.4rem 0}
.lead{color:var(--soft);font-size:1.05rem;margin:0 0 1.25rem}
.soft{color:var(--soft);font-size:.9rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shadow);
padding:1.25rem 1.4rem;margin:0 0 1rem}
.top{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:.4rem 1rem}
.badge{display:inline-flex;align-items:center;gap:.45em;border-radius:999px;padding:.22em .8em;
font-size:.875rem;font-weight:600;color:var(--calm);background:var(--calm-bg)}
.badge::before{content:"";width:.55em;height:.55em;border-radius:50%;background:currentcolor}
.badge.good,.mark.good{color:var(--good);background:var(--good-bg)}
.badge.busy{color:var(--busy);background:var(--busy-bg)}
.badge.warn{color:var(--warn);background:var(--warn-bg)}
.badge.bad,.mark.bad{color:var(--bad);background:var(--bad-bg)}
.badge.warn::before{border-radius:0;clip-path:polygon(50% 0,100% 100%,0 100%)}
.badge.bad::before{border-radius:0;transform:rotate(45deg)}
dl{display:grid;grid-template-columns:10.5rem 1fr;gap:.4rem 1rem;margin:1rem 0 0}
dt{color:var(--soft)}
dd{margin:0}
dd .soft{white-space:nowrap}
.note{border-radius:10px;padding:.8rem 1rem;margin:1rem 0 0;background:var(--calm-bg)}
.note.warn{background:var(--warn-bg)}
.note.bad{background:var(--bad-bg)}
.card.note{margin:0 0 1rem}
h1+h2{margin-top:1.1rem}
.lead+h2{margin-top:-.25rem}
.note h2,.note h3{font-size:1rem}
.note.warn h2,.note.warn h3{color:var(--warn)}
.note.bad h2,.note.bad h3{color:var(--bad)}
.note p:last-child{margin-bottom:0}
.note .soft{color:inherit}
pre{margin:.6rem 0;padding:.7rem .9rem;border-radius:8px;background:var(--card);border:1px solid var(--line);
overflow-x:auto;white-space:pre-wrap}
.steps{margin:0;padding:0;list-style:none;counter-reset:step}
.steps li{counter-increment:step;position:relative;padding:.15rem 0 .9rem 2.9rem}
.steps li::before{content:counter(step);position:absolute;left:0;top:0;width:1.9rem;height:1.9rem;border-radius:50%;
display:grid;place-items:center;background:var(--busy-bg);color:var(--busy);font-weight:650;font-size:.95rem}
.actions{display:flex;flex-wrap:wrap;align-items:center;gap:.75rem 1.25rem;margin-top:1.25rem}
.button{display:inline-block;border:1px solid transparent;border-radius:10px;padding:.65rem 1.25rem;
font:inherit;font-weight:600;color:var(--on-accent);background:var(--accent);text-decoration:none;cursor:pointer}
.button:hover{filter:brightness(1.08)}
.button.quiet{color:var(--accent);background:transparent;border-color:var(--line)}
.actions form{display:contents}
article .actions{gap:.6rem}
article .button{padding:.45rem .95rem;font-size:.925rem}
.button.danger{background:var(--bad);color:var(--page)}
.ask{margin-top:1rem}
.ask summary{cursor:pointer;color:var(--soft);font-size:.9rem}
.card.ask summary{color:inherit;font-size:1rem;font-weight:600}
.ask label{display:block;font-weight:600;margin:.75rem 0 .3rem}
textarea{width:100%;font:inherit;font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9rem;
padding:.6rem .75rem;border:1px solid var(--soft);border-radius:8px;background:var(--page);color:inherit}
.note.good{background:var(--good-bg)}
.device .code{display:flex;flex-wrap:wrap;align-items:center;gap:.75rem 1.25rem}
.device .code code{font-size:2.25rem;font-weight:650;letter-spacing:.08em}
.device form{margin-top:1.25rem}
.qr{width:11rem;height:11rem;border-radius:8px;border:1px solid var(--line)}
@media (min-width:40rem){.device{display:grid;grid-template-columns:1fr auto;column-gap:1.5rem}
.device>*{grid-column:1/-1}.device>h1,.device>.lead,.device>.code{grid-column:1}
.device>.qr{grid-column:2;grid-row:1/span 3}}
.link{border:0;padding:0;background:none;font:inherit;color:var(--accent);text-decoration:underline;
text-underline-offset:.2em;cursor:pointer}
.choices{list-style:none;margin:0;padding:0;display:grid;gap:.6rem}
.choices a{display:flex;justify-content:space-between;align-items:center;gap:1rem;padding:1rem 1.2rem;
border:1px solid var(--line);border-radius:12px;background:var(--card);color:inherit;text-decoration:none;font-weight:600}
.choices a:hover{border-color:var(--accent)}
.check{display:flex;gap:.7rem;align-items:flex-start;margin-top:1rem}
.check input{width:1.2rem;height:1.2rem;margin:.15rem 0 0;accent-color:var(--accent);flex:none}
.mark{width:3rem;height:3rem;border-radius:50%;display:grid;place-items:center;margin-bottom:.75rem}
.mark svg{width:1.6rem;height:1.6rem}
@media (max-width:32rem){dl{grid-template-columns:6.5rem 1fr;gap:.35rem .75rem}dd .soft{display:block}.card{padding:1.1rem}
h1{font-size:1.5rem}.actions .button{width:100%;text-align:center}
article .actions{display:grid;grid-template-columns:1fr 1fr;align-items:stretch}
article .actions .button{padding-inline:.5rem;display:flex;align-items:center;justify-content:center}}
@media (forced-colors:active){.badge,.card,.note,.button{border:1px solid}}
@media (prefers-reduced-motion:no-preference){.button,.choices a{transition:filter .12s,border-color .12s}}
`;

/** The source expression for `style-src`. */
export const styleSource = `'sha256-${createHash('sha256').update(style).digest('base64')}'`;
