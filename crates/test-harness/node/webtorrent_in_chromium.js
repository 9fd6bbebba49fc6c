// Transfers a file with webtorrent in headless Chromium.
//
// Usage: node webtorrent_in_chromium.js seed URL TORRENT DIRECTORY
//        node webtorrent_in_chromium.js leech URL TORRENT DIRECTORY
//
// Does what webtorrent_in_node.js does, but that upon SIGTERM, the browser is
// closed without a word to the tracker.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { chromium } from 'playwright-core'
import { ANNOUNCES_OF_A_SEEDER, endUponFaults, ONLY_THE_TRACKER, PAYLOAD } from './client.js'

const [role, url, torrentPath, directory] = process.argv.slice(2)

// Browsers let pages of this origin do what they let those with TLS do, and
// connect to trackers without TLS besides. Nothing listens there: this script
// answers instead.
const PAGE = 'http://localhost/'

endUponFaults()
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  handleSIGTERM: false,
  args: [
    // Tests may run as root.
    '--no-sandbox',
    // The certificate of the tracker is made by the test.
    '--ignore-certificate-errors'
  ]
})
process.on('SIGTERM', async () => {
  await browser.close()
  console.log('ended')
  process.exit(0)
})

// WebRTC tells all addresses of the host only to pages that may listen to it.
const page = await browser.newPage({ permissions: ['local-network-access', 'microphone'] })
page.on('console', (message) => console.log(message.text()))
page.on('pageerror', (error) => { throw error })

const library = createRequire(import.meta.url).resolve('webtorrent/dist/webtorrent.min.js')
const input = role === 'seed' ? path.join(directory, PAYLOAD) : torrentPath
const output = role === 'seed' ? torrentPath : path.join(directory, PAYLOAD)
const files = {
  '/': ['text/html', '<!doctype html><title>webtorrent</title>'],
  '/webtorrent.js': ['text/javascript', readFileSync(library)],
  '/input': ['application/octet-stream', readFileSync(input)]
}
await page.route('**/*', (route) => {
  const [contentType, body] = files[new URL(route.request().url()).pathname] ?? []
  return route.fulfill(body ? { contentType, body } : { status: 404 })
})
await page.exposeFunction('writeOutput', (base64) => {
  writeFileSync(output, Buffer.from(base64, 'base64'))
})
await page.goto(PAGE)

// Runs in the page, and knows nothing but its argument.
async function transfer ({ role, url, options, name, announcesOfSeeder }) {
  const { default: WebTorrent } = await import('/webtorrent.js')
  const fetched = await fetch('/input')
  const bytes = new Uint8Array(await fetched.arrayBuffer())

  async function write (blob) {
    const reader = new FileReader()
    await new Promise((resolve) => {
      reader.onload = resolve
      reader.readAsDataURL(blob)
    })
    await window.writeOutput(reader.result.split(',')[1])
  }

  const client = new WebTorrent(options)
  client.on('error', (error) => { throw error })
  client.on('torrent', (torrent) => {
    let announces = 0
    torrent.on('trackerAnnounce', () => {
      announces += 1
      console.log('announced')
      if (role === 'seed' && announces === announcesOfSeeder) {
        console.log('seeding', torrent.infoHash)
      }
    })
    torrent.on('warning', (warning) => console.log('warning', warning))
    torrent.on('wire', (wire) => console.log('wire', wire.type))
  })
  if (role === 'seed') {
    const options = { announceList: [[url]], private: true }
    client.seed(new File([bytes], name), options, (torrent) => {
      write(new Blob([torrent.torrentFile]))
    })
  } else {
    client.add(bytes, (torrent) => {
      torrent.on('done', async () => {
        await write(await torrent.files[0].blob())
        console.log('done')
      })
    })
  }
}

await page.evaluate(transfer, {
  role,
  url,
  options: ONLY_THE_TRACKER,
  name: PAYLOAD,
  announcesOfSeeder: ANNOUNCES_OF_A_SEEDER
})
