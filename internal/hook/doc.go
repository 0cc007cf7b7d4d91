// Package hook asks an app's own backend questions over HTTP, such as who the user behind a cookie is.
//
//   - A backend that is slow or down slows down nobody but who asks it: a question has a timeout, so many are under way at once and no more, and after
//     several failures in a row the next questions fail at once for a while, until one that is let through is answered.
//   - A question that several ask at the same time is asked once; a Cache keeps answers for as long as they say, and a bounded number of them.
//   - An answer is bounded in size. Redirects are not followed: they would carry cookies to a place that nobody has configured.
//
// It knows nothing of what is asked.
package hook
