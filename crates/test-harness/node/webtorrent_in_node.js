// Transfers a file with webtorrent in Node.
//
// Usage: node webtorrent_in_node.js seed URL TORRENT DIRECTORY
//        node webtorrent_in_node.js leech URL TORRENT DIRECTORY
//
// Seeds DIRECTORY/payload.bin by the tracker at URL and writes TORRENT, or
// downloads TORRENT into DIRECTORY and goes on as a seeder. Says "seeding" and the
// info hash, or "done". Upon SIGTERM it tells the tracker that it stops, and ends.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import WebTorrent from 'webtorrent'
import { ANNOUNCES_OF_A_SEEDER, endUponFaults, ONLY_THE_TRACKER, PAYLOAD } from './client.js'

const [role, url, torrentPath, directory] = process.argv.slice(2)

endUponFaults()
const client = new WebTorrent(ONLY_THE_TRACKER)
client.on('error', (error) => { throw error })
client.on('torrent', (torrent) => {
  let announces = 0
  torrent.on('trackerAnnounce', () => {
    announces += 1
    console.log('announced')
    if (role === 'seed' && announces === ANNOUNCES_OF_A_SEEDER) {
      console.log('seeding', torrent.infoHash)
    }
  })
  torrent.on('warning', (warning) => console.log('warning', warning))
  torrent.on('wire', (wire) => console.log('wire', wire.type))
})

if (role === 'seed') {
  const options = { announceList: [[url]], private: true }
  client.seed(path.join(directory, PAYLOAD), options, (torrent) => {
    writeFileSync(torrentPath, torrent.torrentFile)
  })
} else {
  client.add(torrentPath, { path: directory }, (torrent) => {
    torrent.on('done', () => console.log('done'))
  })
}

process.on('SIGTERM', () => {
  client.destroy(() => {
    console.log('ended')
    process.exit(0)
  })
})
