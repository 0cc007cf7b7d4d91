package config

import (
	"net/url"
	"strings"
)

// TLS is about encryption.
type TLS struct {
	Cert           string `toml:"cert" doc:"A file with the certificate and its chain, in PEM. It is read again on SIGHUP, and within a minute of a change."`
	Key            string `toml:"key" doc:"A file with the certificate's key, in PEM."`
	RedirectListen string `toml:"redirect_listen" restart:"yes" doc:"An address, such as \":80\", where plain HTTP is sent on to HTTPS, and the certificate authority's questions are answered; empty: there is none."`
	ACME           ACME   `toml:"acme" doc:"Certificates that the server gets and renews by itself, instead of cert and key. The authority has to reach the server by its names: at port 443 (listen), or at port 80 (redirect_listen). Naming domains accepts the authority's terms."`
}

// ACME is about certificates from an authority.
type ACME struct {
	Domains   []string `toml:"domains" restart:"yes" doc:"The names to get certificates for."`
	Email     string   `toml:"email" restart:"yes" doc:"For the authority, which may warn of trouble; may be empty."`
	Directory string   `toml:"directory" restart:"yes" doc:"The authority's ACME directory."`
	CARoot    string   `toml:"ca_root" restart:"yes" doc:"A file with the root certificates that the directory's own follows from, in PEM, for an authority of your own; empty: those of the system."`
	Storage   string   `toml:"storage" restart:"yes" doc:"The directory for certificates, their keys and the account. Keep it through restarts: authorities limit how many certificates they issue."`
}

// On says whether certificates come from an authority.
func (a *ACME) On() bool { return len(a.Domains) > 0 }

// On says whether the public addresses speak TLS.
func (t *TLS) On() bool { return t.Cert != "" || t.ACME.On() }

func checkTLS(p *InvalidError, t *TLS) {
	switch {
	case (t.Cert == "") != (t.Key == ""):
		p.add("tls", "has one of cert and key; it must have both, or none")
	case t.Cert != "" && t.ACME.On():
		p.add("tls", "has cert and acme.domains; give one of the two")
	case t.RedirectListen != "" && !t.On():
		p.add("tls.redirect_listen", "sends to HTTPS, but there is no certificate; set cert and key, or acme.domains")
	case t.RedirectListen != "":
		checkAddresses(p, "tls.redirect_listen", Addresses{t.RedirectListen})
	}
	checkACME(p, "tls.acme", &t.ACME)
}

func checkACME(p *InvalidError, at path, a *ACME) {
	for i, d := range a.Domains {
		if strings.ContainsAny(d, "*/: ") || !strings.Contains(d, ".") {
			p.add(at.key("domains").element(i), "is %q; it must be a name such as \"sno.example.com\" (no '*': that needs another kind of proof)", d)
		}
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		p.add(at.key("directory"), "is %q; it must be a URL such as \"https://acme-v02.api.letsencrypt.org/directory\"", a.Directory)
	}
	if a.On() && a.Storage == "" {
		p.add(at.key("storage"), "is empty; it must be a directory")
	}
}
