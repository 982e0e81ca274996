// Renders the templates of a chart as Helm does, whose engine is this library too, with the few functions that the chart
// uses. In: {"values": …, "namespace": …, "templates": {name: text}} on standard input. Out: {name: text}.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/template"
)

func main() {
	var in struct {
		Values    map[string]any
		Namespace string
		Templates map[string]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fail(err)
	}
	functions := template.FuncMap{
		// JSON is YAML.
		"toYaml": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"nindent": func(n int, s string) string {
			pad := strings.Repeat(" ", n)
			return "\n" + pad + strings.ReplaceAll(s, "\n", "\n"+pad)
		},
		"int": func(v any) int { f, _ := v.(float64); return int(f) },
		"required": func(message string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, errors.New(message)
			}
			return v, nil
		},
	}
	out := map[string]string{}
	data := map[string]any{"Values": in.Values, "Release": map[string]any{"Namespace": in.Namespace}}
	for name, text := range in.Templates {
		parsed, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
		if err != nil {
			fail(err)
		}
		var rendered bytes.Buffer
		if err := parsed.Execute(&rendered, data); err != nil {
			fail(err)
		}
		out[name] = rendered.String()
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
