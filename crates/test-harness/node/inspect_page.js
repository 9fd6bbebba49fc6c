// Looks at a page in headless Chromium as its readers do: in light and dark colours, on
// desktops and phones, with JavaScript and without, and with axe-core for those who use
// assistive technology.
//
// Usage: node inspect_page.js [--live] URL [DIRECTORY]
//
// Writes a line for each fault, and exits with 1 if there is any. Screenshots go to
// DIRECTORY. With --live, the page has to update itself, and without, it must not.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { chromium } from 'playwright-core'

const LIVE = '--live'
const isLive = process.argv.includes(LIVE)
const [url, directory] = process.argv.slice(2).filter((argument) => argument !== LIVE)
const origin = new URL(url).origin
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const VIEWPORTS = { desktop: { width: 1280, height: 900 }, phone: { width: 320, height: 640 } }

// How long the page waits before it updates itself, and somewhat more.
const UPDATE_MILLISECONDS = 11_000

let faults = 0
function fault (where, text) {
  faults += 1
  console.log(`fault: ${where}: ${text}`)
}

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    // Tests may run as root.
    '--no-sandbox'
  ]
})

async function open (where, options) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options })
  const page = await context.newPage()
  page.on('console', (message) => fault(where, `console: ${message.text()}`))
  page.on('pageerror', (error) => fault(where, `error: ${error}`))
  page.on('dialog', (dialog) => {
    fault(where, `a script of others has run: ${dialog.message()}`)
    return dialog.dismiss()
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(origin + '/')) fault(where, `foreign: ${request.url()}`)
  })
  return { context, page }
}

// In the page.
function widths () {
  return [document.documentElement.scrollWidth, window.innerWidth]
}

async function inspect (colorScheme, device, javaScriptEnabled) {
  const where = [colorScheme, device, javaScriptEnabled ? 'script' : 'no-script'].join('-')
  const viewport = VIEWPORTS[device]
  const { context, page } = await open(where, { colorScheme, viewport, javaScriptEnabled })
  const reply = await page.goto(url)
  if (reply.status() !== 200) fault(where, `status ${reply.status()}`)
  if (directory) {
    await page.screenshot({ path: path.join(directory, `${where}.png`), fullPage: true })
  }
  // All that can be opened, without a script.
  for (const summary of await page.locator('summary').all()) await summary.click()
  for (const table of await page.locator('details table').all()) {
    if (!await table.isVisible()) fault(where, 'a table is not visible')
  }
  const [content, window] = await page.evaluate(widths)
  if (content > window) fault(where, `${content} pixels wide, of ${window}`)
  if (javaScriptEnabled) {
    await page.evaluate(axe)
    const { violations } = await page.evaluate('axe.run()')
    for (const { id, help, nodes } of violations) {
      fault(where, `axe ${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`)
    }
  }
  await context.close()
}

// The page is used with the keyboard, updates itself, and says when it cannot.
async function use () {
  const where = 'use'
  const { context, page } = await open(where, { viewport: VIEWPORTS.desktop })
  await page.clock.install()
  await page.goto(url)
  const hasSwitch = await page.locator('#live').count() === 1
  if (hasSwitch !== isLive) fault(where, `#live is ${hasSwitch ? '' : 'not '}there`)
  if (isLive) {
    const reached = []
    for (let count = 0; count < 60 && !reached.includes('live'); count += 1) {
      await page.keyboard.press('Tab')
      reached.push(await page.evaluate('document.activeElement.id'))
    }
    if (!reached.includes('live')) fault(where, 'the keyboard does not reach the checkbox')
    const update = async () => {
      await page.locator('#facts').evaluate((facts) => { facts.textContent = 'old' })
      await page.clock.runFor(UPDATE_MILLISECONDS)
      await page.waitForTimeout(500)
      return await page.locator('#facts').textContent() !== 'old'
    }
    if (!await update()) fault(where, 'it does not update itself')
    await page.keyboard.press('Space')
    if (await update()) fault(where, 'it updates itself although it should not')
    await page.keyboard.press('Space')
    page.removeAllListeners('console')
    await context.setOffline(true)
    await update()
    const said = await page.locator('#said').textContent()
    if (!said.includes('No answer')) fault(where, `without an answer, it says "${said}"`)
    await context.setOffline(false)
    if (!await update()) fault(where, 'it does not update itself again')
    if (await page.locator('#said').textContent() !== '') fault(where, 'it still complains')
  }
  await context.close()
}

for (const colours of ['light', 'dark']) {
  for (const device of Object.keys(VIEWPORTS)) {
    for (const hasScript of [true, false]) await inspect(colours, device, hasScript)
  }
}
await use()
await browser.close()
console.log(faults === 0 ? 'fine' : `${faults} faults`)
process.exit(faults === 0 ? 0 : 1)
