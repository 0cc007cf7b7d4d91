package config

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Dev is the configuration of "sno dev": one app "dev" with one key "dev", where everybody on this machine may do everything but
// administer, also without a credential. It listens on loopback and is not to be used anywhere else.
func Dev(dataDir, secret string) Config {
	c := Default()
	c.Dev, c.Data, c.Drain = true, dataDir, 0
	c.Admin.Listen = "127.0.0.1:0" // several of them run beside each other
	c.Apps = []App{{
		ID:        "dev",
		Keys:      []Key{{ID: "dev", Secret: Secret(secret)}},
		Anonymous: map[string][]string{"*": {"subscribe", "publish", "presence", "history"}},
		Pusher:    Pusher{Enabled: true, ClientEvents: true},
	}}
	return c
}

// secretFile is the name of the file with the secret of "sno dev", in its data directory.
const secretFile = "dev-secret"

// DevSecret returns the secret in the file dev-secret of a directory. If there is none yet it makes the directory and the file, which only its owner can read.
// Processes that do so at the same time get the same secret.
func DevSecret(dir string) (string, error) {
	file := filepath.Join(dir, secretFile)
	secret, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := writeSecret(dir, file); err != nil {
		return "", err
	}
	return readSecret(file)
}

func readSecret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if n := len(secret); n < minSecretBytes || n > maxSecretBytes {
		return "", fmt.Errorf("%s holds %d characters where a secret has %d to %d; remove the file to get a new one", file, n, minSecretBytes, maxSecretBytes)
	}
	return secret, nil
}

// writeSecret makes the file whole or not at all: written beside, then linked to its name, which fails if another process was first.
func writeSecret(dir, file string) error {
	f, err := os.CreateTemp(dir, secretFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, see crypto/rand
	_, err = fmt.Fprintln(f, base64.RawURLEncoding.EncodeToString(random))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	err = os.Link(f.Name(), file)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(f.Name(), file) // a file system without links
}
