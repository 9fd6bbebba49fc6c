(() => {
  const INTERVAL = 10000
  const box = document.getElementById('live')
  const said = document.getElementById('said')
  document.getElementById('control').hidden = false
  document.getElementById('reload').hidden = true

  if (navigator.clipboard) {
    for (const button of document.querySelectorAll('button[data-copy]')) {
      button.hidden = false
      button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
        button.textContent = 'Copied'
      })
    }
  }

  const ids = (page) => [...page.querySelectorAll('[data-live]')].map((part) => part.id)

  async function update () {
    if (!box.checked || document.hidden) return
    try {
      const reply = await fetch(location.pathname, { cache: 'no-store', signal: AbortSignal.timeout(INTERVAL) })
      if (!reply.ok) throw new Error(reply.statusText)
      const page = new DOMParser().parseFromString(await reply.text(), 'text/html')
      if (ids(page).join() !== ids(document).join()) {
        location.reload()
        return
      }
      for (const id of ids(document)) {
        document.getElementById(id).replaceChildren(...page.getElementById(id).childNodes)
      }
      document.title = page.title
      if (said.textContent) said.textContent = ''
    } catch {
      if (!said.textContent) {
        said.textContent = 'No answer from the tracker since ' + new Date().toLocaleTimeString()
      }
    }
  }

  setInterval(update, INTERVAL)
  document.addEventListener('visibilitychange', update)
})()
