// Package nearest finds the name that somebody most likely meant, for errors about names that do not exist.
package nearest

import "strings"

// Name returns the name among names, which are in lower case, that somebody who wrote s most likely meant, or "".
func Name(s string, names []string) string {
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
