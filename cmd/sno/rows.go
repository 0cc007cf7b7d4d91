package main

import (
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// printRows prints a table with a head, or each row as a line of JSON.
func printRows[R any](c *cobra.Command, asJSON bool, head string, rows []R, text func(R) string) error {
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(table, head) // Flush reports the error of any write
	}
	for _, r := range rows {
		if asJSON {
			if _, err := c.OutOrStdout().Write(jsonLine(r)); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(table, text(r))
	}
	return table.Flush()
}

// pages reads page after page, until there are limit rows (0: all there are). fetch is given what the next page begins after; name is what
// a row is called there.
func pages[R any](query url.Values, limit int, name func(R) string, fetch func(url.Values) (rows []R, more bool, err error)) (all []R, err error) {
	for more := true; more; {
		most := pageLimit
		if limit > 0 {
			most = min(most, limit-len(all))
		}
		query.Set("limit", strconv.Itoa(most))
		var rows []R
		if rows, more, err = fetch(query); err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) == 0 || limit > 0 && len(all) >= limit {
			break
		}
		query.Set("after", name(rows[len(rows)-1]))
	}
	return all, nil
}
