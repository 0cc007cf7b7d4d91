package api

import (
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// unknown refuses a name that does not exist, with the one that was most likely meant. at stands before the name.
func unknown(at, kind, name string, known []string) error {
	if meant := nearest(name, known); meant != "" {
		return hub.Errorf(hub.CodeBadRequest, "%s%s: there is no such %s; did you mean %q?", at, clip(name), kind, meant)
	}
	return hub.Errorf(hub.CodeBadRequest, "%s%s: there is no such %s; there are %s", at, clip(name), kind, strings.Join(known, ", "))
}

// nearest returns the name that somebody who wrote s most likely meant, or "".
func nearest(s string, names []string) string {
	if len(s) > 64 {
		return ""
	}
	best, least := "", len(s)/3+2
	for _, name := range names {
		if d := distance(strings.ToLower(s), name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters are to be changed, added or removed to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
