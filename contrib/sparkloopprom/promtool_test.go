package sparkloopprom_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// promtool runs Prometheus' tool, from Debian's package prometheus.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("promtool is not installed")
	}
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

type rule struct {
	Record string `yaml:"record,omitempty"`
	Alert  string `yaml:"alert,omitempty"`
	Expr   string `yaml:"expr"`
}

type group struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type groups struct {
	Groups []group `yaml:"groups"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	data, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	var file groups
	require.NoError(t, yaml.Unmarshal(data, &file))
	require.Len(t, file.Groups, 1)
	return file.Groups[0].Rules
}

// expressions returns the queries of the dashboard's panels.
func expressions(t *testing.T) (all []string) {
	t.Helper()
	data, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(data, &dashboard))
	for _, panel := range dashboard.Panels {
		assert.Equal(t, panel.Type == "row", len(panel.Targets) == 0, panel.Title)
		for _, target := range panel.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

func TestAlertsAreRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", "alerts.yml")
}

func TestAlertsFire(t *testing.T) {
	t.Parallel()
	promtool(t, "", "test", "rules", "testdata/alerts_test.yml")
	data, err := os.ReadFile("testdata/alerts_test.yml")
	require.NoError(t, err)
	for _, r := range rules(t) {
		fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n +exp_alerts:`)
		assert.Regexp(t, fires, string(data), "no test fires the alert")
	}
}

func TestDashboardHasValidExpressions(t *testing.T) {
	t.Parallel()
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$queue", ".*")
	var file groups
	file.Groups = []group{{Name: "dashboard"}}
	for _, expr := range expressions(t) {
		expr = variables.Replace(expr)
		require.NotContains(t, expr, "$")
		file.Groups[0].Rules = append(file.Groups[0].Rules, rule{Record: "panel", Expr: expr})
	}
	data, err := yaml.Marshal(file)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	promtool(t, "", "check", "rules", "--lint=none", path)
}

func TestMetricsPassPromtool(t *testing.T) {
	t.Parallel()
	promtool(t, text(t, everything(t)), "check", "metrics")
}

// Rules and dashboard use only metrics and labels that exist. Each metric is
// used by one of them and documented.
func TestWhatIsUsedIsCollected(t *testing.T) {
	t.Parallel()
	families, err := everything(t).Gather()
	require.NoError(t, err)
	collected := map[string][]string{} // label values by name of the metric
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				collected[f.GetName()] = append(collected[f.GetName()], l.GetName()+"="+l.GetValue())
			}
			collected[f.GetName()] = append(collected[f.GetName()], "")
		}
	}
	used := map[string]bool{}
	exprs := expressions(t)
	for _, r := range rules(t) {
		exprs = append(exprs, r.Expr)
	}
	selector := regexp.MustCompile(`(sparkloop_\w+?)(_bucket|_count|_sum)?\b(\{[^}]*\})?`)
	matcher := regexp.MustCompile(`(\w+)(=~?)"([^"]*)"`)
	for _, expr := range exprs {
		for _, found := range selector.FindAllStringSubmatch(expr, -1) {
			name := found[1]
			require.Contains(t, collected, name, expr)
			used[name] = true
			for _, m := range matcher.FindAllStringSubmatch(found[3], -1) {
				if m[1] == "job" || m[1] == "queue" {
					continue
				}
				for value := range strings.SplitSeq(m[3], "|") {
					assert.Contains(t, collected[name], m[1]+"="+value, expr)
				}
			}
		}
	}
	doc, err := os.ReadFile("sparkloopprom.go")
	require.NoError(t, err)
	names := []string{}
	for name := range collected {
		names = append(names, name)
		assert.True(t, used[name], "%s is collected, and no rule or panel uses it", name)
		assert.Contains(t, string(doc), "- "+name)
	}
	slices.Sort(names)
	assert.Len(t, names, 11, "%s", names)
}
