//go:build linux

package peers

import (
	"context"
	_ "embed" // the program's text
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed floor/floor.c
var floorSource []byte

// floor is the program in C that does nothing but send: the least that a server can cost.
func floor(mode, about string) *Peer {
	return &Peer{
		Name: "floor-" + mode, About: "the floor, a program in C that does nothing else: " + about,
		knows: []Variant{Usual},
		start: func(ctx context.Context, p *Place, _ Variant) (*Running, error) {
			program, err := p.buildFloor(mode == "uring")
			if err != nil {
				return nil, err
			}
			s, port, err := p.listens(ctx, exec.Command(program, mode)) //nolint:noctx // process.stop ends it
			if err != nil {
				return nil, err
			}
			return plainly(s, port), nil
		},
	}
}

// plainly is a server that takes subscribers at /ws and publishers at /pub.
func plainly(s *process, port int) *Running {
	return &Running{Protocol: "plain", URL: fmt.Sprintf("ws://127.0.0.1:%d/ws", port), Pids: []int{s.pid()}, stop: s.stop}
}

func (p *Place) buildFloor(ring bool) (program string, err error) {
	name, more := "floor", []string(nil)
	if ring {
		name, more = "floor-uring", []string{"-DWITH_URING", "-luring"}
	}
	program = filepath.Join(p.Dir, name)
	return program, p.once(name, func() error {
		cc, err := exec.LookPath("cc")
		if err != nil {
			return errors.New("there is no C compiler (Debian: gcc, libc6-dev)")
		}
		source := filepath.Join(p.Dir, "floor.c")
		if err := os.WriteFile(source, floorSource, 0o644); err != nil {
			return err
		}
		err = run(exec.Command(cc, append([]string{"-O2", "-o", program, source}, more...)...)) //nolint:noctx // it ends by itself
		if err != nil && ring {
			return fmt.Errorf("it needs the header of io_uring (Debian: liburing-dev): %w", err)
		}
		return err
	})
}
