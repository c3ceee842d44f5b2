# Each is answered at once.
job job
  exec serve
end
job many
  instance $N
  exec serve
end
start nojob
    answer start nojob: error, Unknown job: nojob
emit ''
    answer emit '': error, Name may not be empty string
emit go word
    answer emit go word: error, Env must be KEY=VALUE pairs
start job word
    answer start job word: error, Env must be KEY=VALUE pairs
start many
    answer start many: error, Unknown parameter: N
stop many X=1
    answer stop many X=1: error, Unknown parameter: N
stop many N=nobody
    answer stop many N=nobody: error, Unknown instance: nobody
instance stop many:1
    answer instance stop many:1: error, Unknown instance: 1
instance restart nojob:1
    answer instance restart nojob:1: error, Unknown job: nojob
instance start job
    answer instance start job: error, Unknown instance: 
reload nojob
    answer reload nojob: error, Unknown job: nojob
