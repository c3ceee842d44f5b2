# What is executed: words as they are, the shell for what only it understands.
job words
  exec serve --port 80
end
job shell
  exec serve > /dev/null
end
job script
  script
    one
    two
  end script
end
start words
    event starting JOB=words INSTANCE=
    spawn words main
    answer start words: words
    event started JOB=words INSTANCE=
start shell
    event starting JOB=shell INSTANCE=
    spawn shell main
    answer start shell: shell
    event started JOB=shell INSTANCE=
start script
    event starting JOB=script INSTANCE=
    spawn script main
    answer start script: script
    event started JOB=script INSTANCE=
program words main
    serve|--port|80
program shell main
    sh: exec serve > /dev/null
program script main
    script: "one\ntwo\n"
