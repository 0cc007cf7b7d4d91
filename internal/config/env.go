package config

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/snoserver/sno/internal/nearest"
)

const (
	envPrefix = "SNO_"
	// fileSuffix at the end of a secret's name means that the variable names a file that holds the secret.
	fileSuffix = "_FILE"
)

// The variables of the app that a server without apps in its file has, and of that app's key. The tools take the key from the same ones.
const (
	envApp    = "SNO_APP"
	envKey    = "SNO_KEY"
	envSecret = "SNO_SECRET"
)

// EnvFile names the file unless a flag does.
const EnvFile = "SNO_CONFIG"

// defaultApp is the id of the app that the environment makes, unless SNO_APP says otherwise.
const defaultApp = "main"

// toolVariables are for the tools, and may well be set where a server starts.
var toolVariables = []string{"SNO_URL", "SNO_TOKEN"}

// orchestrated are variables that Kubernetes sets for a service of the name "sno".
var orchestrated = regexp.MustCompile(`^SNO_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$`)

// environment is the variables that begin with SNO_. An empty one counts as not set.
type environment map[string]string

func environmentOf(env []string) environment {
	e := environment{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, envPrefix) && value != "" && !orchestrated.MatchString(name) {
			e[name] = value
		}
	}
	return e
}

// secret is the value of a variable, or what stands in the file that the variable with _FILE names.
func (e environment) secret(p *InvalidError, name string) (value, source string) {
	file := e[name+fileSuffix]
	if file == "" {
		return e[name], name
	}
	if e[name] != "" {
		p.addFrom(name+fileSuffix, "is set, and so is %s; give one of the two", name)
		return "", name
	}
	value, err := ReadSecret(file)
	if err != nil {
		p.addFrom(name+fileSuffix, "%s", err)
	}
	return value, name + fileSuffix
}

// maxSecretFile bounds a file with a secret, which is one line.
const maxSecretFile = 16 << 10

// ReadSecret reads a secret from a file; the white space around it does not count. The error says what the file is, for whoever named it.
func ReadSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("is %q, which cannot be read: %w", file, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("is %q, which cannot be read: %w", file, err)
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("is %q, which has more than the %d bytes of a file with a secret", file, maxSecretFile)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("is %q, which is empty", file)
	}
	return secret, nil
}

// checkNames finds the variables that mean nothing.
func (e environment) checkNames(p *InvalidError) {
	known := slices.Concat([]string{EnvFile, envApp, envKey, envSecret, envSecret + fileSuffix}, toolVariables)
	for _, s := range Settings() {
		known = append(known, s.Env())
		if s.isSecret() {
			known = append(known, s.Env()+fileSuffix)
		}
	}
	for name := range e {
		if slices.Contains(known, name) {
			continue
		}
		if meant := nearestVariable(name, known); meant != "" {
			p.addFrom(name, "does not exist; did you mean %s?", meant)
		} else {
			p.addFrom(name, "does not exist; \"sno config docs\" shows all names")
		}
	}
}

// nearestVariable compares without the prefix that all have: it would make everything look alike.
func nearestVariable(name string, known []string) string {
	lower := make([]string, len(known))
	for i, k := range known {
		lower[i] = strings.ToLower(strings.TrimPrefix(k, envPrefix))
	}
	if meant := nearest.Name(strings.TrimPrefix(name, envPrefix), lower); meant != "" {
		return envPrefix + strings.ToUpper(meant)
	}
	return ""
}
