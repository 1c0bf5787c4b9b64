// Renders the templates of a chart. They are Go templates, so this is the engine that Helm uses; of Helm's own functions it
// knows those that the chart uses. Reads {"values": …, "release": "…", "chart": {…}} from standard input, takes the templates
// as arguments, and prints one after the other.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

type input struct {
	Values  map[string]any
	Release string
	Chart   map[string]any
}

var functions = template.FuncMap{
	"quote": func(value any) string { return strconv.Quote(fmt.Sprint(value)) },
	"int": func(value any) (int, error) {
		number, ok := value.(float64)
		if !ok {
			return 0, fmt.Errorf("%v is no number", value)
		}
		return int(number), nil
	},
	// JSON is YAML.
	"toYaml": func(value any) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	},
	"nindent": func(spaces int, text string) string {
		pad := "\n" + strings.Repeat(" ", spaces)
		return pad + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", pad)
	},
}

func main() {
	var given input
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		fail(err)
	}
	facts := map[string]any{
		"Values":  given.Values,
		"Release": map[string]any{"Name": given.Release},
		"Chart":   given.Chart,
	}
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fail(err)
		}
		parsed, err := template.New(filepath.Base(path)).Funcs(functions).Option("missingkey=error").Parse(string(text))
		if err != nil {
			fail(err)
		}
		fmt.Println("---")
		if err := parsed.Execute(os.Stdout, facts); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
