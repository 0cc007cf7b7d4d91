package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// language is one in which docs/getting-started.md has programs.
type language struct{ command, suffix string }

var languages = []language{{"sh", ".sh"}, {"node", ".mjs"}, {"python3", ".py"}, {"php", ".php"}, {"ruby", ".rb"}}

// program is a code block whose first line is a comment with a file's name.
var program = regexp.MustCompile("(?m)^```[a-z]+\n((?:<\\?php )?(?:#|//) ([a-z]+\\.[a-z]+)\n(?s:.*?))^```")

// programs puts the programs of docs/getting-started.md into a directory.
func programs(t *testing.T) (dir string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, m := range program.FindAllSubmatch(text, -1) {
		if err := os.WriteFile(filepath.Join(dir, string(m[2])), m[1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// installed are the languages that this machine has.
func installed(t *testing.T) []language {
	t.Helper()
	var here []language
	for _, l := range languages {
		if _, err := exec.LookPath(l.command); err == nil {
			here = append(here, l)
		} else if os.Getenv("CI") != "" {
			t.Fatalf("%v, and CI is set: .ci/deps installs it", err)
		} else {
			t.Logf("not tested here: %v", err)
		}
	}
	return here
}

// workplace is where the programs run.
type workplace struct{ dir, url, secret string }

func (p workplace) command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	interpreter := ""
	for _, l := range languages {
		if l.suffix == filepath.Ext(name) {
			interpreter = l.command
		}
	}
	c := exec.CommandContext(ctx, interpreter, append([]string{name}, arguments...)...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "SNO_URL="+p.url, "SNO_KEY=dev", "SNO_SECRET="+p.secret)
	c.WaitDelay = 5 * time.Second
	return c
}

// run wants a program to succeed and returns what it prints.
func (p workplace) run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	c := p.command(t.Context(), name, arguments...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s\n%s", name, arguments, err, out, stderr.Bytes())
	}
	return string(out)
}

// followers are the programs that print messages, in the languages that are here.
func followers(here []language) []string {
	var names []string
	for _, l := range here {
		names = append(names, "follow"+l.suffix)
	}
	return append(names, "poll.sh")
}

// reader is a program that runs and prints messages.
type reader struct {
	name   string
	orders chan int
	ended  chan error
	stderr bytes.Buffer
}

// order is a message as any of the programs prints it.
var order = regexp.MustCompile(`order-(\d+)`)

// start runs a program until the test ends.
func (p workplace) start(t *testing.T, name string, arguments ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := p.command(ctx, name, arguments...)
	r := &reader{name: name, orders: make(chan int, 1000), ended: make(chan error, 1)}
	c.Stderr = &r.stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell has children
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		r.read(out)
		r.ended <- c.Wait()
	}()
	return r
}

// read takes what the program prints until it ends.
func (r *reader) read(out io.Reader) {
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		for _, m := range order.FindAllStringSubmatch(line, -1) {
			n, _ := strconv.Atoi(m[1])
			r.orders <- n
		}
	}
}

// want waits for the orders of these numbers, from first to last, and for no other.
func (r *reader) want(t *testing.T, first, last int) {
	t.Helper()
	for want := first; want <= last; want++ {
		select {
		case got := <-r.orders:
			if got != want {
				t.Fatalf("%s printed order-%d, want order-%d", r.name, got, want)
			}
		case <-time.After(90 * time.Second):
			t.Fatalf("%s has not printed order-%d", r.name, want)
		}
	}
}

// Messages are published in all languages in turn and followed in all of them at once, over connections that are cut every few messages. In the middle
// the server is killed, and later every connection dies without a word. Everybody prints every message once, in order, and stops when told to.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	const messages = 32
	here := installed(t)
	dir, data := programs(t), t.TempDir()
	server, kill := devAt(t, data, "127.0.0.1:0")
	address := strings.TrimPrefix(server.URL, "http://")
	relay := newRelay(t, address)
	p := workplace{dir, "http://" + relay.listener.Addr().String(), server.Secret}
	publish := func(n int) {
		p.run(t, "publish"+here[n%len(here)].suffix, strconv.Itoa(n))
	}
	publish(1)
	var readers []*reader
	for _, name := range followers(here) {
		readers = append(readers, p.start(t, name))
	}
	for n := 2; n <= messages; n++ {
		switch n {
		case messages / 2:
			kill()
			waiting := p.start(t, "publish"+here[0].suffix, strconv.Itoa(n))
			devAt(t, data, address)
			waiting.want(t, n, n)
		case messages * 3 / 4:
			relay.silence()
		}
		publish(n)
		publish(n) // again, as somebody does who got no answer
	}
	for _, r := range readers {
		r.want(t, 1, messages)
	}
	t.Logf("%d connections were cut", relay.cuts.Load())
	p.stopAll(t, readers, server.URL)
}

// stopAll ends the sessions of programs until they have understood.
func (p workplace) stopAll(t *testing.T, readers []*reader, url string) {
	t.Helper()
	for _, r := range readers {
		for deadline := time.After(time.Minute); ; {
			endSessions(t, url, p.secret)
			select {
			case err := <-r.ended:
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok || exit.ExitCode() != 1 || !strings.Contains(r.stderr.String(), "administrator has ended the session") {
					t.Errorf("%s ended with %v and said: %s", r.name, err, &r.stderr)
				}
			case <-time.After(100 * time.Millisecond):
				continue
			case <-deadline:
				t.Errorf("%s goes on though its session was ended: %s", r.name, &r.stderr)
			}
			break
		}
	}
}

// endSessions ends all sessions of a server.
func endSessions(t *testing.T, url, secret string) {
	t.Helper()
	var list struct{ Sessions []struct{ Session string } }
	if err := json.Unmarshal(request(t, "GET", url+"/v1/sessions", secret), &list); err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Sessions {
		request(t, "DELETE", url+"/v1/sessions/"+s.Session, secret)
	}
}

func request(t *testing.T, method, url, secret string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("dev", secret)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// What will never succeed is not tried again: a program says why, and ends with an exit code.
func TestGettingStartedRefused(t *testing.T) {
	t.Parallel()
	server := devIn(t, t.TempDir())
	p := workplace{programs(t), server.URL, "not the secret"}
	here := installed(t)
	names := followers(here)
	for _, l := range here {
		names = append(names, "publish"+l.suffix)
	}
	for _, name := range names {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		out, err := p.command(ctx, name, "1").CombinedOutput()
		cancel()
		if _, ok := errors.AsType[*exec.ExitError](err); !ok || ctx.Err() != context.Canceled || !bytes.Contains(out, []byte(`"code":4001`)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// The tokens say what the page says of them: ann may follow and read the channel orders, and nothing else.
func TestGettingStartedTokens(t *testing.T) {
	t.Parallel()
	server := devIn(t, t.TempDir())
	p := workplace{programs(t), server.URL, server.Secret}
	for _, l := range installed(t) {
		token := strings.TrimSpace(p.run(t, "token"+l.suffix))
		for path, want := range map[string]int{"/v1/poll?wait=0&channel=orders": 200, "/v1/channels/orders/messages": 200, "/v1/channels/others/messages": 403} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != want || strings.Contains(path, "poll") && !bytes.Contains(body, []byte(`"client":"ann"`)) {
				t.Errorf("%s: %s has status %d: %s", l.command, path, answer.StatusCode, body)
			}
		}
	}
}
