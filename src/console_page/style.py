"""How the page looks, in the light and the dark mode of the console."""

CSS = """
.efs-backup { color: #16191f; background: #fff; font: 14px/1.45 "Amazon Ember", "Helvetica Neue",
  Arial, sans-serif; padding: 8px; overflow-wrap: anywhere; }
.efs-backup.dark { color: #d5dbdb; background: #1d2531; }
.efs-backup h2 { font-size: 16px; margin: 18px 0 6px; }
.efs-backup h3 { font-size: 14px; margin: 12px 0 2px; font-family: monospace; }
.efs-backup table { border-collapse: collapse; width: 100%; }
.efs-backup th, .efs-backup td { text-align: left; vertical-align: top; padding: 4px 10px 4px 0;
  border-bottom: 1px solid #d5dbdb; background: none; color: inherit; white-space: nowrap; }
.efs-backup .words { white-space: normal; overflow-wrap: anywhere; }
.efs-backup.dark th, .efs-backup.dark td, .efs-backup.dark .block { border-color: #414d5c; }
.efs-backup a { color: #0972d3; }
.efs-backup.dark a { color: #539fe5; }
.efs-backup a.btn { display: inline-block; border: 1px solid currentColor; border-radius: 12px;
  padding: 0 10px; white-space: nowrap; cursor: pointer; text-decoration: none; background: none; }
.efs-backup a.btn-primary { background: #0972d3; border-color: #0972d3; color: #fff; }
.efs-backup .facts { display: flex; flex-wrap: wrap; gap: 8px 32px; align-items: center; }
.efs-backup .label { display: block; font-size: 12px; color: #545b64; }
.efs-backup.dark .label, .efs-backup.dark .what-to-do { color: #aab7b8; }
.efs-backup .what-to-do { margin: 2px 0; color: #545b64; font-size: 13px; }
.efs-backup .find { margin: 14px 0 4px; }
.efs-backup .find input { width: 240px; max-width: 60%; padding: 3px 6px; font: inherit;
  color: inherit; background: inherit; border: 1px solid #687078; border-radius: 4px; }
.efs-backup .mark { border-radius: 4px; padding: 0 6px; margin-right: 4px; white-space: nowrap; }
.efs-backup .good { color: #0f5c2e; background: #d9f3e1; }
.efs-backup .fair { color: #6b4a00; background: #fdf0c4; }
.efs-backup .bad, .efs-backup .problem { color: #8c1006; background: #fbdedb; }
.efs-backup .busy { color: #033f7d; background: #d6e8fb; }
.efs-backup.dark .good { color: #b5ecc8; background: #14432a; }
.efs-backup.dark .fair { color: #fbe4a0; background: #4d3a05; }
.efs-backup.dark .bad, .efs-backup.dark .problem { color: #ffc9c2; background: #5a1912; }
.efs-backup.dark .busy { color: #c3dffc; background: #12385f; }
.efs-backup .problem { padding: 4px 8px; }
.efs-backup progress { width: 160px; }
.efs-backup .block { border-bottom: 1px solid #d5dbdb; padding: 8px 0; display: grid;
  grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 4px 12px; }
.efs-backup .block strong { font-weight: normal; }
"""
