// What the scripts beside this one have in common.

// The tracker is to be the only way to find a peer, and its network is all
// there is.
export const ONLY_THE_TRACKER = {
  dht: false,
  lsd: false,
  natPmp: false,
  natUpnp: false,
  utPex: false,
  utp: false,
  webSeeds: false,
  tracker: { rtcConfig: { iceServers: [] } }
}

// What is transferred, in the directory of each client.
export const PAYLOAD = 'payload.bin'

// A seeder announces twice: at once that it has completed, and with offers when
// it has made them. If a leecher came in between, both would answer each other's
// offers, close what they take for a second connection, and try again minutes
// later.
export const ANNOUNCES_OF_A_SEEDER = 2

// Ends the script with what went wrong, instead of going on.
export function endUponFaults () {
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, (fault) => {
      console.log('fault', fault)
      process.exit(1)
    })
  }
}
