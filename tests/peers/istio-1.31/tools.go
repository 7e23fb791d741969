//go:build tools

// Package tools names a package of the module that the file comes from, so that
// 'go mod tidy' keeps it.
package tools

import _ "istio.io/api/label"
