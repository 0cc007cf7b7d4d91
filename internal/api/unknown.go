package api

import (
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/nearest"
)

// unknown refuses a name that does not exist, with the one that was most likely meant. at stands before the name.
func unknown(at, kind, name string, known []string) error {
	if meant := nearest.Name(name, known); meant != "" {
		return hub.Errorf(hub.CodeBadRequest, "%s%s: there is no such %s; did you mean %q?", at, clip(name), kind, meant)
	}
	return hub.Errorf(hub.CodeBadRequest, "%s%s: there is no such %s; there are %s", at, clip(name), kind, strings.Join(known, ", "))
}
