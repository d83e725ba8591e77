package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// page is what the browser loads: it fetches every file and writes down which protocol the browser
// used and what it got.
const page = `<!doctype html><title>interop</title><pre id=out></pre><script>
(async () => {
	const lines = [];
	for (const name of %s) {
		const r = await fetch(name, {cache: 'no-store'});
		const digest = await crypto.subtle.digest('SHA-256', await r.arrayBuffer());
		lines.push('file ' + name + ' ' + [...new Uint8Array(digest)].map(b => b.toString(16).padStart(2, '0')).join(''));
	}
	for (const e of [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')])
		lines.push('protocol ' + e.nextHopProtocol);
	lines.push('done');
	document.getElementById('out').textContent = lines.join('\n');
})();
</script>
`

const pageName = "index.html"

// browse lets a browser load a page that fetches the files. The page must be in the served directory
// before: writePage.
func browse(path string, s *Setup) *Command {
	host := fmt.Sprintf("localhost:%d", s.Target.Port())
	return &Command{
		Path: path,
		Args: []string{
			"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--user-data-dir=" + filepath.Join(s.Scratch, "profile"), "--ssl-key-log-file=" + s.KeyLog,
			"--host-resolver-rules=MAP localhost " + s.Target.Addr().String(),
			"--origin-to-force-quic-on=" + host, "--ignore-certificate-errors-spki-list=" + s.Certs.SPKI,
			"--virtual-time-budget=20000", "--dump-dom", "https://" + host + "/" + pageName,
		},
		Env:   []string{"HOME=" + s.Scratch},
		Check: func(output string) error { return checkPage(output, s) },
		Note:  "nextHopProtocol h3",
	}
}

func writePage(www string, names []string) error {
	list := "['" + strings.Join(names, "','") + "']"
	return os.WriteFile(filepath.Join(www, pageName), fmt.Appendf(nil, page, list), 0o644)
}

func checkPage(output string, s *Setup) error {
	if !strings.Contains(output, "\ndone") {
		return errors.New("the page's script did not reach its end")
	}
	protocols := 0
	for line := range strings.Lines(output) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "protocol "); ok {
			if protocols++; p != "h3" {
				return fmt.Errorf("the browser used protocol %q, want h3", p)
			}
		}
	}
	if protocols < 1+len(s.Names) {
		return fmt.Errorf("the browser told the protocol of %d requests, want %d", protocols, 1+len(s.Names))
	}
	for _, n := range s.Names {
		b, err := os.ReadFile(filepath.Join(s.WWW, n))
		if err != nil {
			return err
		}
		digest := sha256.Sum256(b)
		if !strings.Contains(output, "file "+n+" "+hex.EncodeToString(digest[:])) {
			return fmt.Errorf("the browser got other bytes for %s", n)
		}
	}
	return nil
}
