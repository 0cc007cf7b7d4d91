//go:build linux

package peers

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// nchanModule is where Debian has it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// nchan is nginx with the module nchan, one worker.
func nchan() *Peer {
	return &Peer{
		Name: "nchan", About: "nginx with nchan, Debian's", knows: []Variant{Usual},
		start: func(ctx context.Context, p *Place, _ Variant) (*Running, error) {
			nginx, err := program("nginx")
			if err != nil {
				return nil, errors.New("there is no nginx (Debian: nginx-light)")
			}
			if _, err := os.Stat(nchanModule); err != nil {
				return nil, errors.New("nginx has no nchan (Debian: libnginx-mod-nchan)")
			}
			return p.configured(ctx, "nchan", nchanConfig, func(file string) *exec.Cmd {
				return exec.Command(nginx, "-c", file) //nolint:noctx // process.stop ends it
			}, Running{Protocol: "plain", URL: "ws://127.0.0.1:PORT/ws"})
		},
	}
}

const nchanConfig = `load_module ` + nchanModule + `;
daemon off;
USER
worker_processes 1;
pid DIR/pid;
error_log stderr crit;
events { worker_connections FILES; }
http {
    access_log off;
    client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
    server {
        listen 127.0.0.1:PORT backlog=4096;
        location = /ws { nchan_subscriber websocket; nchan_channel_id bench; nchan_subscriber_first_message newest; }
        location = /pub { nchan_publisher websocket; nchan_channel_id bench; nchan_message_timeout 60s; nchan_message_buffer_length 1000; }
    }
}
`

// mosquitto is Eclipse's MQTT broker.
func mosquitto() *Peer {
	return &Peer{
		Name: "mosquitto", About: "mosquitto, Debian's, MQTT over TCP at quality of service 0", knows: []Variant{Usual, Topics},
		start: func(ctx context.Context, p *Place, _ Variant) (*Running, error) {
			broker, err := program("mosquitto")
			if err != nil {
				return nil, errors.New("there is no mosquitto (Debian: mosquitto)")
			}
			return p.configured(ctx, "mosquitto", mosquittoConfig, func(file string) *exec.Cmd {
				return exec.Command(broker, "-c", file) //nolint:noctx // process.stop ends it
			}, Running{Protocol: "mqtt", URL: "mqtt://127.0.0.1:PORT"})
		},
	}
}

const mosquittoConfig = `listener PORT 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_connections -1
set_tcp_nodelay true
log_type error
MQTTUSER
`

// program finds one that may be among those of the administrator.
func program(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// configured starts a server that reads a file and listens at a port that the file names.
func (p *Place) configured(ctx context.Context, name, config string, command func(file string) *exec.Cmd, r Running) (*Running, error) {
	dir, remove, err := p.scratch(name)
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		remove()
		return nil, err
	}
	nginxUser, mqttUser := "", ""
	if os.Geteuid() == 0 { // else they would change to users who cannot read the directory
		nginxUser, mqttUser = "user root;", "user root"
	}
	files, err := openFiles()
	if err != nil {
		remove()
		return nil, err
	}
	fill := strings.NewReplacer("DIR", dir, "PORT", strconv.Itoa(port), "FILES", strconv.FormatUint(files, 10), "MQTTUSER", mqttUser, "USER", nginxUser)
	file := filepath.Join(dir, "conf.json") // Centrifugo takes the syntax from the name; the others do not look at it
	if err := os.WriteFile(file, []byte(fill.Replace(config)), 0o600); err != nil {
		remove()
		return nil, err
	}
	s, err := p.accepts(ctx, command(file), port)
	if err != nil {
		remove()
		return nil, err
	}
	if r.Pids, err = settledFamily(s.pid(), name == "nchan"); err != nil {
		s.stop()
		remove()
		return nil, err
	}
	r.URL = fill.Replace(r.URL)
	r.stop = func() { s.stop(); remove() }
	return &r, nil
}

// settledFamily is a process with its children, once there are some where there are to be.
func settledFamily(pid int, children bool) ([]int, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		pids, err := family(pid)
		if err != nil || !children || len(pids) > 1 {
			return pids, err
		}
		if time.Now().After(deadline) {
			return nil, errors.New("no worker has started")
		}
	}
}
