// Announces a torrent with bittorrent-tracker that the tracker does not serve, and
// scrapes another one over the same connection.
//
// Usage: node refused_announce.js URL REFUSED_INFO_HASH ALLOWED_INFO_HASH
//
// Says "refused" and why, then "scraped". The client closes its connection when it
// does not understand a refusal, and throws when it says nothing of the torrent.

import Client from 'bittorrent-tracker'
import { endUponFaults, ONLY_THE_TRACKER } from './client.js'

const [url, refused, allowed] = process.argv.slice(2)

function connect (infoHash) {
  const client = new Client({
    announce: [url],
    infoHash,
    peerId: Buffer.from('-TS0001-refused-peer'),
    port: 6881,
    ...ONLY_THE_TRACKER.tracker
  })
  client.on('error', (fault) => { throw fault })
  return client
}

endUponFaults()
const client = connect(refused)
client.on('update', (update) => { throw new Error(`not refused: ${update}`) })
client.on('warning', (reason) => {
  console.log('refused', reason.message)
  // Clients of one URL share their connection.
  const other = connect(allowed)
  other.on('warning', (fault) => { throw fault })
  other.on('scrape', (answer) => {
    console.log('scraped', answer.complete, answer.incomplete, answer.downloaded)
    process.exit(0)
  })
  other.scrape()
})
client.update({ left: 1 })
