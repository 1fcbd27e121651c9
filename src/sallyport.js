#!/usr/bin/env node
/*
 * The `sallyport` command: a start guard in syntax that any Node reads, because an old one would fall over
 * the program's own files with a stack trace. It says in one line which version is needed and exits 2
 * (contract section 1), else lets process-guard.ts close the process and hands over to main.ts.
 */
(function start() {
  // 24 from 24.18.1 and everything from 26: package.json `engines` says the same, a test compares them.
  var version = process.versions.node;
  var parts = version.split('.').map(Number);
  var major = parts[0];
  var fine = major >= 26 || (major === 24 && (parts[1] > 18 || (parts[1] === 18 && parts[2] >= 1)));
  if (!fine) {
    console.error('sallyport: needs Node 24 from 24.18.1, or 26 or later; this is %s', version);
    process.exitCode = 2;
    return;
  }
  // The compiled package has .js here: the compiler rewrites the names.
  void import('./process-guard.ts').then((guard) => {
    var status = guard.guardProcess(process.argv[1]);
    if (status === null) return import('./main.ts');
    process.exitCode = status;
    return undefined;
  });
})();
