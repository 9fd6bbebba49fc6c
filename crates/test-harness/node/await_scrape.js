// Asks a tracker for a scrape of one torrent, with bittorrent-tracker, until a
// count is reached.
//
// Usage: node await_scrape.js URL TORRENT WHAT COUNT
//
// TORRENT is a file; WHAT is complete, incomplete or downloaded. Prints the last
// answer; exits with 1 when the count was not reached in time.

import { readFileSync } from 'node:fs'
import Client from 'bittorrent-tracker'
import parseTorrent from 'parse-torrent'
import { endUponFaults } from './client.js'

const PATIENCE_MILLISECONDS = 20_000
const PAUSE_MILLISECONDS = 50

const [url, torrent, what, count] = process.argv.slice(2)

endUponFaults()
const { infoHash } = await parseTorrent(readFileSync(torrent))
const client = new Client({
  announce: [url],
  infoHash,
  peerId: Buffer.from('-TS0001-await_scrape'),
  port: 6881
})
for (const event of ['error', 'warning']) {
  client.on(event, (fault) => { throw fault })
}

const deadline = Date.now() + PATIENCE_MILLISECONDS
client.on('scrape', (answer) => {
  const isReached = answer[what] === Number(count)
  if (isReached || Date.now() > deadline) {
    console.log(isReached ? 'reached' : 'waited in vain', what, count, answer)
    process.exit(isReached ? 0 : 1)
  }
  setTimeout(() => client.scrape(), PAUSE_MILLISECONDS)
})
client.scrape()
